//! The committed image beside the one that runs here and the one that the registry has: a spot check pulls
//! what is committed, and compares it with what was answered.

use adit_docker::{ImageName, Stored};
use adit_private_track::deployment::{Commitment, LARGEST_IMAGE};

use super::chain::Answer;
use super::chain::{is_registered, newest_reveal};
use super::engine::{self, Running};
use super::registry::{self, Shown};
use super::server::Server;
use super::sv::{DEPLOY, Miner};
use super::{Check, Status};
use crate::commands::say::size;
use crate::failure::Failure;

const NAME: &str = "image";

/// The image that the newest commitment names.
#[derive(Debug)]
pub(super) struct Committed {
    /// With the tag.
    pub(super) name: ImageName,
    /// `sha256:…` of its manifest.
    pub(super) digest: String,
}

impl Committed {
    /// As a container knows it.
    fn known_as(&self) -> String {
        self.name.at(&self.digest)
    }
}

/// What is committed, or the line that says why that is not known.
pub(super) fn committed(miner: &Miner, seen: Answer<'_>) -> Result<Committed, Check> {
    miner.place.known().map_err(|why| Check::skipped(NAME, why))?;
    let seen = seen.map_err(|_| Check::skipped(NAME, "the chain does not say (see chain)"))?;
    if !is_registered(seen) {
        return Err(Check::skipped(NAME, "only a registered hotkey can commit one (see registration)"));
    }
    match newest_reveal(seen) {
        Some(newest) => parse(&newest.text()),
        None => Err(Check::skipped(NAME, "nothing is revealed (see commitment)")),
    }
}

fn parse(text: &str) -> Result<Committed, Check> {
    let warn = |found: String| Check::warn(NAME, found, DEPLOY);
    let Some(Commitment { image_repo, image_tag, image_digest, .. }) = Commitment::parse(text) else {
        return Err(warn("the newest commitment names no image of the private track".to_owned()));
    };
    let name: ImageName = format!("{image_repo}:{image_tag}")
        .parse()
        .map_err(|error| warn(format!("the newest commitment is of none that can be pulled: {error}")))?;
    let is_digest = image_digest
        .strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if !is_digest {
        return Err(warn(format!(
            "{name} is committed without a digest: a spot check takes what the tag names by then"
        )));
    }
    Ok(Committed { name, digest: image_digest })
}

/// `account` is the line of the registry.
pub(super) fn check(
    committed: Result<Committed, Check>,
    engine: &engine::Asked,
    server: &Server,
    shown: &Result<Shown<'_>, Check>,
    account: &Check,
) -> Check {
    let committed = match committed {
        Ok(committed) => committed,
        Err(check) => return check,
    };
    let here = match engine {
        engine::Asked::Up { miner: Ok(Some(running)), .. } => Here::Container(running),
        engine::Asked::Up { miner: Err(failure), .. } => Here::Unknown(failure.parts().0),
        engine::Asked::Down(_) => Here::Unknown("see docker"),
        _ if server.answers() => Here::Served,
        _ => Here::Nothing,
    };
    let there = match shown.as_ref().map(|shown| &shown.image) {
        Ok(registry::Image::Read(Ok(Some(stored)))) => There::Stored(stored),
        Ok(registry::Image::Read(Ok(None))) => There::Missing,
        Ok(registry::Image::Read(Err(failure))) if account.status == Status::Pass => There::Silent(failure),
        // One line for a token that is wrong, or a registry that is away.
        Ok(registry::Image::Read(Err(failure))) => There::Unknown(failure.parts().0),
        Ok(registry::Image::NotAsked(why)) => There::Unknown(why),
        Err(_) => There::Unknown("see registry"),
    };
    judge(&committed, &here, &there)
}

/// What runs here.
enum Here<'a> {
    Container(&'a Running),
    /// A miner without a container.
    Served,
    Nothing,
    /// And why.
    Unknown(&'a str),
}

/// What the registry has at the committed digest.
enum There<'a> {
    Stored(&'a Stored),
    Missing,
    /// It should have said.
    Silent(&'a Failure),
    /// And why.
    Unknown(&'a str),
}

fn judge(committed: &Committed, here: &Here<'_>, there: &There<'_>) -> Check {
    let image = committed.known_as();
    if let Here::Container(Running { image: Some(runs) }) = here
        && *runs != image
    {
        return Check::fail(
            NAME,
            format!(
                "the miner that runs is not the image that is committed: a spot check would find other answers; \
                 {runs} runs, {image} is committed"
            ),
            DEPLOY,
        );
    }
    let stored = match there {
        There::Missing => {
            return Check::fail(
                NAME,
                format!("image_unavailable: the registry does not have {image}, which is committed"),
                DEPLOY,
            );
        }
        There::Stored(stored) if stored.size > LARGEST_IMAGE => {
            return Check::fail(
                NAME,
                format!(
                    "image_too_large: {image} has {}, and Score blacklists a miner whose image has more than {}",
                    size(stored.size),
                    size(LARGEST_IMAGE)
                ),
                format!("leave out of scorevision/ what the model does not need, then {DEPLOY}"),
            );
        }
        There::Silent(failure) => {
            return Check::warn(
                NAME,
                format!("whether {image} can be pulled is not known: {}", failure.parts().0),
                format!("docker pull {image}"),
            );
        }
        There::Stored(stored) => Ok(size(stored.size)),
        There::Unknown(why) => Err(why),
    };
    match (here, stored) {
        (Here::Container(Running { image: None }), _) => Check::warn(
            NAME,
            format!("the container that runs does not say of which image it is; {image} is committed"),
            DEPLOY,
        ),
        (Here::Served, _) => Check::skipped(
            NAME,
            format!("the miner runs without a container: make sure its answers are those of {image}"),
        ),
        (Here::Nothing, _) => {
            Check::skipped(NAME, format!("no miner runs here (see server); {image} is committed"))
        }
        (Here::Unknown(why), _) => {
            Check::skipped(NAME, format!("{image} is committed; what runs here is not known ({why})"))
        }
        (Here::Container(_), Ok(size)) => {
            Check::pass(NAME, format!("{image} is committed, runs here, and is at its registry ({size})"))
        }
        (Here::Container(_), Err(why)) => Check::skipped(
            NAME,
            format!("{image} is committed and runs here; whether the registry has it is not known ({why})"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:abababababababababababababababababababababababababababababababab";

    fn text(repo: &str, digest: &str) -> String {
        let hotkey = "5H6TiKX8XNWAfyzk8SDfCn7rvv1UVH7nyKVn8YQogq5Ky4rr".parse().unwrap();
        let (image_repo, image_digest) = (repo.to_owned(), digest.to_owned());
        let (image_tag, element_id) = ("v1".to_owned(), "manako/DetectFootballEvent".to_owned());
        Commitment { image_repo, image_tag, image_digest, element_id, hotkey }.text()
    }

    fn stored(size: u64) -> Stored {
        Stored { digest: DIGEST.to_owned(), config: String::new(), size }
    }

    fn judged(here: &Here<'_>, there: &There<'_>) -> Check {
        judge(&parse(&text("me/x", DIGEST)).unwrap(), here, there)
    }

    #[test]
    fn a_commitment_names_what_a_container_is_known_as() {
        let committed = parse(&text("ghcr.io/me/x", DIGEST)).unwrap();
        assert_eq!(committed.known_as(), format!("ghcr.io/me/x@{DIGEST}"));
        assert_eq!((committed.name.registry(), committed.name.tag()), ("ghcr.io", "v1"));
    }

    #[test]
    fn a_commitment_of_no_image_is_a_warning() {
        for (text, words) in [
            ("revealed-miner".to_owned(), "names no image of the private track"),
            (text("Me/X", DIGEST), "is no image name"),
            (text("me/x", ""), "without a digest"),
            (text("me/x", "sha256:ab"), "without a digest"),
            (text("me/x", &DIGEST.replace("ab", "/.")), "without a digest"),
        ] {
            let check = parse(&text).unwrap_err();
            assert!(check.status == Status::Warn && check.found.contains(words), "{check:?}");
            assert_eq!(check.fix.as_deref(), Some(DEPLOY));
        }
    }

    #[test]
    fn what_runs_is_what_is_committed_or_it_fails() {
        let there = stored(1_500_000_000);
        let there = There::Stored(&there);
        let runs = |image: Option<String>| judged(&Here::Container(&Running { image }), &there);
        let equal = runs(Some(format!("me/x@{DIGEST}")));
        assert_eq!(
            (equal.status, equal.found),
            (Status::Pass, format!("me/x@{DIGEST} is committed, runs here, and is at its registry (1.5 GB)"))
        );
        for other in [format!("you/x@{DIGEST}"), DIGEST.to_owned(), format!("me/x@{DIGEST} ")] {
            let check = runs(Some(other));
            assert!(check.status == Status::Fail && check.found.contains("spot check"), "{check:?}");
        }
        assert_eq!(runs(None).status, Status::Warn);
        let served = judged(&Here::Served, &there);
        assert!(served.fix.is_none() && served.found.contains("runs without a container"), "{served:?}");
        for here in [Here::Nothing, Here::Unknown("see docker")] {
            assert!(judged(&here, &there).found.starts_with("skipped: "));
        }
    }

    #[test]
    fn what_score_cannot_pull_fails_whatever_runs() {
        for here in [Here::Served, Here::Nothing] {
            let missing = judged(&here, &There::Missing);
            assert!(missing.status == Status::Fail && missing.found.starts_with("image_unavailable"));
            let status = |size| judged(&here, &There::Stored(&stored(size))).status;
            assert_eq!((status(LARGEST_IMAGE), status(LARGEST_IMAGE + 1)), (Status::Warn, Status::Fail));
        }
        let failure = Failure::new("no answer");
        let silent = judged(&Here::Served, &There::Silent(&failure));
        assert!(silent.status == Status::Warn && silent.found.ends_with("no answer"), "{silent:?}");
        let running = Running { image: Some(format!("me/x@{DIGEST}")) };
        let unknown = judged(&Here::Container(&running), &There::Unknown("see registry"));
        assert!(unknown.status == Status::Warn && unknown.found.contains("(see registry)"));
    }
}
