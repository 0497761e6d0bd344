//! The clips, answered one after the other by the way that a challenge takes.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use adit_http_server::ClipHost;
use adit_media::{Ffmpeg, Media, MediaLimits};
use adit_outbound::{AddressGuard, Client, FetchError};
use adit_predictor::{Answer, Predictor, Wanted};
use adit_scoring::soccer::{self, Era};
use tokio::time::{Instant, timeout_at};

use super::folder::{LabelledClip, Problem};
use super::{Clip, Mapping};
use crate::challenge::Solver;
use crate::config::Answering;
use crate::record::Trace;
use crate::wire::request::ChallengeRequest;

/// Where no deadline is wanted, a clip that takes longer than this hangs.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// For the sample table of a file on this host.
const PROBE: Duration = Duration::from_secs(60);

/// Has a model answer clips.
#[derive(Debug)]
pub struct Examiner {
    solver: Solver,
    deadline: Option<Duration>,
    mapping: Mapping,
}

/// What became of a clip.
#[derive(Debug)]
pub struct Examined {
    /// The clip with its answer, or why there is none.
    pub clip: Result<Clip, Problem>,
    /// How often each of its labels was met that means no action of Score's.
    pub not_scored: BTreeMap<String, usize>,
    /// What of its labels was left out otherwise.
    pub warnings: Vec<Problem>,
}

impl Examiner {
    /// With this model, under a miner's limits. Without a `deadline` a clip may take as long as it takes.
    ///
    /// # Errors
    /// Where there can be no HTTP client.
    pub fn new(
        answering: &Answering,
        predictor: Arc<Predictor>,
        deadline: Option<Duration>,
        mapping: Mapping,
    ) -> Result<Self, FetchError> {
        // Clips come from a server of our own on loopback.
        let client = Client::new(AddressGuard::unrestricted())?;
        let limits = MediaLimits { max_bytes: answering.max_clip_bytes, ..MediaLimits::default() };
        let media = Media::new(client, Ffmpeg::at(Some(&answering.ffmpeg)), limits);
        Ok(Self { solver: Solver { media, predictor, mode: Wanted::SoccerActions }, deadline, mapping })
    }

    /// Has the model answer one clip. The model is loaded already.
    pub async fn examine(&self, labelled: &LabelledClip) -> Examined {
        let (mut not_scored, mut warnings) = (BTreeMap::new(), Vec::new());
        let clip = self.answer(labelled, &mut not_scored, &mut warnings).await;
        Examined { clip, not_scored, warnings }
    }

    async fn answer(
        &self,
        labelled: &LabelledClip,
        not_scored: &mut BTreeMap<String, usize>,
        warnings: &mut Vec<Problem>,
    ) -> Result<Clip, Problem> {
        let name = &labelled.name;
        let failed = |what: &dyn std::fmt::Display| problem(name, format!("has no answer: {what}"));
        let host = ClipHost::start(&labelled.path, IpAddr::V4(Ipv4Addr::LOCALHOST));
        let host = host.await.map_err(|error| failed(&error))?;
        let probed = self.solver.media.frame_count(&host.url(), Instant::now() + PROBE).await;
        let info = probed.map_err(|error| problem(name, format!("is no clip that can be read: {error}")))?;
        let rate = info.frame_rate.as_f64();

        let label_file = &labelled.label_file;
        let truth = labelled.labels.truth(labelled.half, info.frames, rate, &self.mapping);
        let truth = truth.map_err(|what| problem(label_file, what))?;
        *not_scored = truth.not_scored;
        if let Some(first) = truth.outside.first() {
            let (count, frames) = (truth.outside.len(), info.frames);
            let which = if count == 1 { "a label".to_owned() } else { format!("{count} labels") };
            warnings.push(problem(
                label_file,
                format!(
                    "has {which} behind the clip's {frames} frames, the first at frame {}; left out",
                    first.frame
                ),
            ));
        }
        if soccer::judge(Era::Head, &[], &truth.events).total_weight == 0.0 {
            let what = "has no label within the clip that today's validators score; they would not send it";
            return Err(problem(label_file, what.to_owned()));
        }

        let began = Instant::now();
        let deadline = began + self.deadline.unwrap_or(LONGEST);
        let request = ChallengeRequest {
            challenge_id: name.clone(),
            video_url: Some(host.url()),
            image_url: None,
            frames: None,
        };
        let answer = match timeout_at(
            deadline,
            self.solver.solve(&request, deadline, &Trace::since(Instant::now().into_std())),
        )
        .await
        {
            Ok(answer) => answer.map_err(|error| failed(&error))?,
            Err(_) => {
                let seconds = self.deadline.unwrap_or(LONGEST).as_secs();
                return Err(failed(&format!("none within {seconds} s, and a validator waits no longer")));
            }
        };
        let Answer::Actions(candidates) = answer else {
            return Err(failed(&"the model answers no actions"));
        };
        Ok(Clip {
            name: name.clone(),
            frames: info.frames,
            rate,
            truth: truth.events,
            candidates,
            took_s: began.elapsed().as_secs_f64(),
        })
    }
}

fn problem(file: &str, what: String) -> Problem {
    Problem { file: file.to_owned(), what }
}
