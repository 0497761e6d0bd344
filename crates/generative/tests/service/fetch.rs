//! Media on their way into a file.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use adit_generative::Modality;
use adit_generative::service::{FetchMediaError, Kind, Location, Progress, Provider, Services, Started};
use adit_stand_in::media;
use adit_stand_in::providers::{Call, Fault, Providers};
use adit_stand_in::video_host::{Reply, VideoHost};
use serde_json::json;
use tokio::io::AsyncWrite;

use crate::setup::{environment, may, plan, services, soon, stand_in, stand_in_of};

/// Counts, and remembers the largest piece; optionally full after so many bytes.
#[derive(Default)]
struct Counter {
    bytes: u64,
    largest: usize,
    room: Option<u64>,
}

impl AsyncWrite for Counter {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, piece: &[u8]) -> Poll<io::Result<usize>> {
        self.bytes += piece.len() as u64;
        self.largest = self.largest.max(piece.len());
        if self.room.is_some_and(|room| self.bytes > room) {
            return Poll::Ready(Err(io::ErrorKind::StorageFull.into()));
        }
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn kind(error: FetchMediaError) -> Kind {
    match error {
        FetchMediaError::Service(error) => error.kind,
        FetchMediaError::Write(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_large_video_passes_in_pieces_and_untouched() {
    let mut clip = media::MP4.to_vec();
    clip.resize(200 << 20, 7);
    let length = clip.len() as u64;
    let stand_in = Providers::start(media::PNG, clip).await.unwrap();
    stand_in.polls(0);
    let services = services(&stand_in, &[]);
    let service = services.get(Provider::OpenRouter).unwrap();
    let started = service.start(&plan(service, Modality::Video, "p", json!({})), soon()).await.unwrap();
    let Started::Job(id) = started else { panic!("{started:?}") };
    let mut file = Counter::default();
    let fetched = service.fetch(&Location::Content(id), Modality::Video, &mut file, soon()).await.unwrap();
    assert_eq!((fetched, file.bytes), (length, length));
    assert!(file.largest <= 1 << 20, "a piece of {} bytes was held", file.largest);
    assert_eq!(stand_in.handed_out("p"), 1);
}

#[tokio::test]
async fn what_is_no_media_or_not_whole_is_not_taken_and_may_be_fetched_again() {
    for provider in [Provider::OpenAi, Provider::OpenRouter, Provider::Runway] {
        let stand_in = stand_in().await;
        stand_in.polls(0);
        let services = services(&stand_in, &[]);
        let service = services.get(provider).unwrap();
        let started = service.start(&plan(service, Modality::Video, "p", json!({})), soon()).await.unwrap();
        let Started::Job(id) = started else { panic!("{started:?}") };
        let Progress::Ready(location) = service.poll(&id, soon()).await.unwrap() else { panic!("not ready") };
        for fault in [
            Fault::Page(200),
            Fault::Page(502),
            Fault::Empty,
            Fault::Truncated,
            Fault::Closed,
            Fault::RateLimited("3".to_owned()),
            Fault::Endless,
        ] {
            stand_in.plant(
                stand_in_of(provider),
                Call::Media,
                fault.clone(),
                if matches!(fault, Fault::Closed) { 2 } else { 1 },
            );
            let failed = service.fetch(&location, Modality::Video, &mut Vec::new(), soon()).await;
            let kind = kind(failed.unwrap_err());
            assert!(kind.is_repeatable(), "{provider}, {fault:?}: {kind:?}");
        }
        let inside = Fault::Redirect("http://169.254.169.254/".to_owned());
        stand_in.plant(stand_in_of(provider), Call::Media, inside, 1);
        let failed = service.fetch(&location, Modality::Video, &mut Vec::new(), soon()).await;
        assert_eq!(
            kind(failed.unwrap_err()),
            Kind::Bug,
            "{provider}: a redirect into the host's own networks"
        );
        let mut file = Vec::new();
        service.fetch(&location, Modality::Video, &mut file, soon()).await.unwrap();
        assert_eq!(file, media::MP4, "{provider}");
        let failed = service.fetch(&location, Modality::Image, &mut Vec::new(), soon()).await;
        assert!(failed.is_err(), "{provider}: a video is no picture");
        assert_eq!(stand_in.paid("p"), 1);
    }
}

#[tokio::test]
async fn a_link_that_is_not_served_any_more_has_run_out() {
    let (stand_in, host) = (stand_in().await, VideoHost::start().await.unwrap());
    let services = services(&stand_in, &[]);
    let service = services.get(Provider::Runway).unwrap();
    for status in [401, 403, 404, 410] {
        let url = host.serve("/old.mp4", Reply::bytes("gone").status(status)) + "?signature=hush";
        let location = Location::Url(url);
        assert!(!format!("{location:?}").contains("hush"));
        let error = service.fetch(&location, Modality::Video, &mut Vec::new(), soon()).await.unwrap_err();
        assert!(!error.to_string().contains("hush"), "{error}");
        assert_eq!(kind(error), Kind::Expired, "{status}");
    }
}

#[tokio::test]
async fn an_endless_picture_ends_at_the_limit() {
    let (stand_in, host) = (stand_in().await, VideoHost::start().await.unwrap());
    let services = services(&stand_in, &[]);
    let service = services.get(Provider::OpenAi).unwrap();
    let url = host.serve("/endless.png", Reply::bytes(media::PNG).endless());
    let mut file = Counter::default();
    let error = service.fetch(&Location::Url(url), Modality::Image, &mut file, soon()).await.unwrap_err();
    assert_eq!(kind(error), Kind::Failed);
    assert!(file.bytes <= 64 << 20, "{} bytes were written", file.bytes);
}

#[tokio::test]
async fn a_link_into_the_hosts_own_networks_is_refused() {
    let host = VideoHost::start().await.unwrap();
    let url = host.serve("/secret.mp4", Reply::bytes(media::MP4));
    // At its real base URL: its links may lead to public hosts only.
    let runway = environment(&[("RUNWAYML_API_KEY", "k")]);
    let services = Services::from_environment(&runway, may()).unwrap();
    let service = services.get(Provider::Runway).unwrap();
    let failed = service.fetch(&Location::Url(url), Modality::Video, &mut Vec::new(), soon()).await;
    assert_eq!(kind(failed.unwrap_err()), Kind::Bug);
    assert!(host.served().is_empty());
}

#[tokio::test]
async fn a_full_disk_is_no_fault_of_the_provider() {
    let (stand_in, host) = (stand_in().await, VideoHost::start().await.unwrap());
    let services = services(&stand_in, &[]);
    let service = services.get(Provider::Runway).unwrap();
    let url = host.serve("/clip.mp4", Reply::bytes(media::MP4));
    let mut full = Counter { room: Some(10), ..Counter::default() };
    let failed = service.fetch(&Location::Url(url), Modality::Video, &mut full, soon()).await;
    assert!(matches!(failed, Err(FetchMediaError::Write(_))), "{failed:?}");
}
