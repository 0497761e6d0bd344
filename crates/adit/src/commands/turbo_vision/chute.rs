//! `sv chute-slug`, `sv ping-chute` and `sv delete-chute`.

use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::time::Duration;

use adit_journal::TURBO_VISION;
use adit_journal::record::{MAX_TEXT, Rehearsed, bounded};
use adit_settings::Environment;
use adit_synthetic::MatchFormat;
use adit_turbo_vision::chutes::cli::revision;
use adit_turbo_vision::chutes::{Api, ChuteInfo, ImageFate};
use adit_turbo_vision::local_chute::VIDEO_URL;
use adit_turbo_vision::names::ChuteName;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::rehearse::{DrawnClip, unheard};
use super::{api, chute_name, chutes_user, commit_of, soon, which};
use crate::cli::turbo_vision::{ChuteSlug, DeleteChute, PingChute};
use crate::commands::terminal::confirm;
use crate::commands::{block_on, recorded};
use crate::failure::Failure;

/// What a chute on this host is asked about: a second.
const SHORT: MatchFormat = MatchFormat { width: 640, height: 360, fps: 25, seconds: 1 };

/// A commit's chute as Chutes has it.
pub(super) async fn find(
    api: &Api,
    env: &Environment,
    name: &ChuteName,
    commit: &str,
) -> Result<ChuteInfo, Failure> {
    // By the id, which a key with few rights may ask for; its name alone may be that of another account.
    let id = adit_turbo_vision::chutes::ids::chute(&chutes_user(env)?, &name.to_string());
    let found = api.chute(&id, soon()).await?;
    let found = found.filter(|chute| !chute.slug.is_empty()).ok_or_else(|| {
        Failure::new(format!("Chutes has no chute `{name}` of revision {commit}")).hint(
            "`sv chutes list` lists those that there are; `sv push --revision …` deploys one. Is CHUTES_USERNAME right?",
        )
    })?;
    // Two revisions share a nickname now and then: only the script says whose the chute is.
    let code = api.code(&found.chute_id, soon()).await?.unwrap_or_default();
    match revision(&code) {
        Some(other) if other != commit => Err(Failure::new(format!(
            "the chute `{name}` is that of revision {other}, not of {commit}"
        ))
        .hint("both revisions have one nickname, and Chutes has one chute of a name; name that revision")),
        _ => Ok(found),
    }
}

pub(super) fn slug(env: &Environment, args: &ChuteSlug) -> Result<ExitCode, Failure> {
    if args.guess {
        // Without a runtime: nothing is asked.
        let commit: adit_turbo_vision::hub::Commit = args.revision.revision.parse().map_err(|error| {
            Failure::new(error).hint("a guess asks nobody, so it needs all 40 digits of the commit")
        })?;
        let guess = chute_name(env, commit.as_str())?.guessed_slug(&chutes_user(env)?);
        show(args, &guess, None);
        return Ok(ExitCode::SUCCESS);
    }
    let found = block_on(async {
        let commit = commit_of(env, &args.revision.revision).await?;
        find(&api(env)?, env, &chute_name(env, &commit)?, &commit).await
    })?;
    show(args, &found.slug, Some(&found.chute_id));
    Ok(ExitCode::SUCCESS)
}

fn show(args: &ChuteSlug, slug: &str, id: Option<&str>) {
    if args.json {
        println!("{:#}", json!({"slug": slug, "id": id, "guessed": id.is_none()}));
    } else {
        println!("Slug: {slug}\nID: {}", id.unwrap_or("None"));
    }
}

pub(super) fn ping(env: &Environment, args: &PingChute) -> Result<ExitCode, Failure> {
    block_on(async {
        let (chute, _) = which(env, &args.chute).await?;
        let patience = Duration::from_secs(args.timeout);
        let began = Instant::now();
        let health = match chute.health(Instant::now() + patience).await {
            Ok(health) if health.healthy => Check::passed(format!("model loaded: {}", health.model)),
            Ok(health) => Check::failed(format!(
                "the model is not loaded: {}",
                health.status.as_deref().unwrap_or(&health.model)
            )),
            Err(error) => {
                let failure = unheard(error, args.chute.local);
                let (what, hint) = failure.parts();
                Check::failed(format!("{what} ({})", hint.unwrap_or_default()))
            }
        };
        health.print(args, "/health");
        let predict = if args.health_only || !health.passed {
            None
        } else {
            let (_host, url) = clip(env, args).await?;
            let input = json!({"url": url, "meta": {}});
            let check = match chute.predict(&input, Instant::now() + patience, async || ()).await {
                Ok(answer) if !answer.success => Check::failed(format!(
                    "the chute says that it failed: {}",
                    answer.error.as_deref().unwrap_or("it does not say why")
                )),
                Ok(answer) => match look(answer.predictions.as_ref(), args.n_frames) {
                    Ok(said) => Check::passed(format!("{said} in {:.2} s", answer.of_attempt.as_secs_f64())),
                    Err(why) => Check::failed(why),
                },
                Err(error) => Check::failed(format!("{error} ({})", error.hint())),
            };
            check.print(args, "/predict");
            Some(check)
        };
        let last = predict.as_ref().unwrap_or(&health);
        let rehearsed = Rehearsed {
            target: super::target(&args.chute),
            asked: if predict.is_some() { "its health and a prediction" } else { "its health" }.to_owned(),
            passed: last.passed,
            asked_times: 1 + u32::from(predict.is_some()),
            answered_times: u32::from(health.passed)
                + u32::from(predict.as_ref().is_some_and(|check| check.passed)),
            slowest_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            detail: Some(bounded(&last.said, MAX_TEXT)),
            ..Rehearsed::default()
        };
        recorded::record(env, TURBO_VISION, &rehearsed);
        let passed = health.passed && predict.as_ref().is_none_or(|check| check.passed);
        if args.json {
            let shown =
                json!({"passed": passed, "health": health.json(), "predict": predict.map(|it| it.json())});
            println!("{shown:#}");
        }
        Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

/// The clip's URL, with what serves it where it is drawn.
async fn clip(env: &Environment, args: &PingChute) -> Result<(Option<DrawnClip>, String), Failure> {
    match &args.video_url {
        Some(url) => Ok((None, url.clone())),
        None if args.chute.local => {
            let drawn = DrawnClip::start(env, SHORT, IpAddr::V4(Ipv4Addr::LOCALHOST)).await?;
            let url = drawn.url();
            Ok((Some(drawn), url))
        }
        None => Ok((None, VIDEO_URL.to_owned())),
    }
}

struct Check {
    passed: bool,
    said: String,
}

impl Check {
    fn passed(said: String) -> Self {
        Self { passed: true, said }
    }

    fn failed(said: String) -> Self {
        Self { passed: false, said }
    }

    /// With the words of the guide's program.
    fn print(&self, args: &PingChute, what: &str) {
        if !args.json {
            let (mark, word) = if self.passed { ("✓", "passed") } else { ("✗", "failed") };
            println!("{mark} {what} {word}: {}", self.said);
        }
    }

    fn json(&self) -> Value {
        json!({"passed": self.passed, "detail": self.said})
    }
}

/// What upstream meant to check: that there are as many frames as are looked at, each once.
fn look(predictions: Option<&Value>, wanted: usize) -> Result<String, String> {
    let frames = predictions.and_then(|predictions| predictions["frames"].as_array());
    let frames = frames.ok_or("`predictions.frames` is missing, or no list")?;
    if frames.len() < wanted {
        return Err(format!("{} frames, and at least {wanted} were expected (--n-frames)", frames.len()));
    }
    let mut ids = Vec::new();
    for (at, frame) in frames.iter().enumerate() {
        let id = &frame["frame_id"];
        let id = id.as_i64().ok_or_else(|| format!("the frame_id of entry {at} is {id}, and no integer"))?;
        ids.push(id);
        for list in ["boxes", "keypoints"] {
            if frame.get(list).is_some_and(|value| !value.is_array() && !value.is_null()) {
                return Err(format!("the `{list}` of frame {id} are no list"));
            }
        }
    }
    ids.sort_unstable();
    if let Some(twice) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("frame {} is there twice: of two, validators take the last", twice[0]));
    }
    Ok(format!("{} frames", frames.len()))
}

pub(super) fn delete(env: &Environment, args: &DeleteChute) -> Result<ExitCode, Failure> {
    block_on(async {
        let commit = commit_of(env, &args.revision.revision).await?;
        let api = api(env)?;
        let found = find(&api, env, &chute_name(env, &commit)?, &commit).await?;
        if !args.yes {
            println!("Chute:    {} ({})", found.name, found.chute_id);
            println!("Revision: {commit}");
            match confirm("Delete it and its image?")? {
                Some(true) => {}
                Some(false) => return Err(Failure::new("nothing was deleted")),
                None => {
                    return Err(Failure::new("nothing was deleted, since there is nobody to ask")
                        .hint("--yes deletes without asking"));
                }
            }
        }
        let deleted = api.delete_with_image(&found.chute_id, soon()).await?;
        println!("✓ deleted the chute {} ({})", found.name, deleted.chute_id);
        match deleted.image {
            Some((image, ImageFate::Deleted)) => println!("✓ deleted its image {image}"),
            Some((image, ImageFate::NoneThere)) => println!("  its image {image} was gone already"),
            Some((image, ImageFate::InUse)) => {
                println!("⚠ its image {image} stays: another chute runs it");
            }
            None => {}
        }
        Ok(ExitCode::SUCCESS)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_prediction_is_named() {
        let frames = |frames: Value| look(Some(&json!({"frames": frames})), 2);
        let frame = |id: Value| json!({"frame_id": id, "boxes": [], "keypoints": []});
        assert_eq!(frames(json!([frame(json!(0)), frame(json!(1))])).unwrap(), "2 frames");
        for (wrong, said) in [
            (json!([frame(json!(0))]), "1 frames"),
            (json!([frame(json!(3)), frame(json!(3))]), "frame 3 is there twice"),
            (json!([frame(json!(0)), frame(json!(1.0))]), "entry 1 is 1.0"),
            (json!([frame(json!(0)), {"frame_id": 1, "boxes": 5}]), "`boxes` of frame 1"),
            (json!("x"), "`predictions.frames` is missing"),
        ] {
            assert!(frames(wrong.clone()).unwrap_err().contains(said), "{wrong}");
        }
        assert!(look(None, 1).is_err());
    }
}
