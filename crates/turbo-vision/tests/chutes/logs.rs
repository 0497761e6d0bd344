//! The logs of instances.

use std::time::Duration;

use adit_stand_in::chutes::{Call, Fault, Start};
use adit_turbo_vision::chutes::{Cause, InstanceLogs};
use tokio::time::Instant;

use crate::{platform, soon};

async fn next(logs: &mut InstanceLogs<'_>) -> String {
    tokio::time::timeout(Duration::from_secs(30), logs.next()).await.unwrap().unwrap().unwrap()
}

#[tokio::test]
async fn lines_come_as_they_are_written_and_none_is_lost_or_doubled_when_the_stream_breaks_off() {
    let (platform, api) = platform().await;
    platform.starts(Start { looks: Some(0), log: (0..150).map(|number| format!("old {number}")).collect() });
    let id = platform.chute("miner", "c", "code");
    let instance = platform.instance(&id).unwrap();
    let mut logs = api.instance_logs(&instance, 100, soon());
    for number in 50..150 {
        assert_eq!(next(&mut logs).await, format!("old {number}"));
    }
    platform.write(&instance, "live");
    assert_eq!(next(&mut logs).await, "live");
    platform.break_streams();
    platform.plant(Call::InstanceLogs, Fault::Page(502), 1);
    platform.write(&instance, "meanwhile");
    assert_eq!(next(&mut logs).await, "meanwhile");
    platform.break_streams();
    platform.write(&instance, "again");
    assert_eq!(next(&mut logs).await, "again");
    platform.end_instance(&instance);
    assert_eq!(logs.next().await.unwrap(), None);
}

#[tokio::test]
async fn a_quiet_instance_is_left_when_the_time_has_come() {
    let (platform, api) = platform().await;
    let id = platform.chute("miner", "c", "code");
    let mut logs =
        api.instance_logs(&platform.instance(&id).unwrap(), 0, Instant::now() + Duration::from_secs(1));
    assert_eq!(tokio::time::timeout(Duration::from_secs(20), logs.next()).await.unwrap().unwrap(), None);
}

#[tokio::test]
async fn waiting_for_a_line_may_be_given_up_and_taken_up_again() {
    let (platform, api) = platform().await;
    let id = platform.chute("miner", "c", "code");
    let instance = platform.instance(&id).unwrap();
    let mut logs = api.instance_logs(&instance, 0, soon());
    for number in 0..5 {
        let waited = tokio::time::timeout(Duration::from_millis(30), logs.next()).await;
        assert!(waited.is_err(), "{waited:?}");
        platform.write(&instance, &format!("line {number}"));
        assert_eq!(next(&mut logs).await, format!("line {number}"));
    }
}

#[tokio::test]
async fn strangers_and_nobodys_logs_are_refused_at_once() {
    let (platform, api) = platform().await;
    platform.account("other", None, None);
    let id = platform.chute("other", "c", "code");
    let mut logs = api.instance_logs(&platform.instance(&id).unwrap(), 0, soon());
    let error = logs.next().await.unwrap_err();
    assert!(matches!(error.cause, Cause::Forbidden { .. }) && error.hint().contains("private"), "{error}");
    let error = api.instance_logs("nobody", 0, soon()).next().await.unwrap_err();
    assert!(error.is_not_found(), "{error}");
}

#[tokio::test]
async fn a_stream_that_never_begins_is_given_up() {
    let (platform, api) = platform().await;
    let id = platform.chute("miner", "c", "code");
    platform.plant(Call::InstanceLogs, Fault::Page(503), u32::MAX);
    let error = api.instance_logs(&platform.instance(&id).unwrap(), 0, soon()).next().await.unwrap_err();
    assert!(matches!(error.cause, Cause::Service { status: 503, .. }), "{error}");
    assert!(platform.times(Call::InstanceLogs) <= 12);
}
