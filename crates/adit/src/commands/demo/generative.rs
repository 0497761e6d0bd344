//! The generative miner in `adit demo`: requests of both generations of validators, services that stand in for the paid
//! ones, the C2PA check, and the webhook that acknowledges.

use adit_generative::Modality;
use adit_generative::rehearsal::{Ask, Attempt};
use adit_journal::GENERATIVE;

use super::page::Journals;
use crate::commands::generator::rehearse::{Stage, print};
use crate::failure::Failure;

/// Whether every task was credited.
pub(super) async fn show(journals: &Journals) -> Result<bool, Failure> {
    println!(
        "\nSubnet 34, generative track: tasks from the signed request to the acknowledged webhook, with a stand-in for \
         OpenRouter.\n"
    );
    let ask = |modality, tier| Ask { modality, prompt: "a lighthouse at dusk".to_owned(), tier };
    let asks = vec![
        ask(Modality::Image, None),
        ask(Modality::Image, Some("1K")),
        ask(Modality::Video, None),
        ask(Modality::Video, Some("720p")),
    ];
    let folder = tempfile::tempdir()?;
    let journal = journals.place(GENERATIVE).open();
    let attempts = Stage::set().await?.rehearse(asks, folder.path(), journals.media(), journal).await?;
    print(&attempts);
    Ok(attempts.iter().all(Attempt::credited))
}
