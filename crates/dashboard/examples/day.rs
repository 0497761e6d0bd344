//! Fills a folder with the journals of a made-up day, to look at the page with:
//! `cargo run -p adit-dashboard --example day FOLDER`, then `ADIT_DATA_DIR=FOLDER adit dashboard`.

#[expect(clippy::unwrap_used, reason = "of the tests")]
#[path = "../tests/page/traffic.rs"]
mod traffic;

fn main() -> Result<(), &'static str> {
    let folder = std::env::args_os().nth(1).ok_or("name the folder that the journals go to")?;
    traffic::day(folder.as_ref());
    Ok(())
}
