//! A model on other hosts, asked of servers that do what real ones only do on a bad day. Real ones: `oip_servers.rs`.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::sync::Arc;
use std::time::Duration;

use adit_predictor::{Circuit, Data, OipError, RemoteConfig, RemoteModel, Tensor};
use adit_stand_in::oip::{OipServer, Port, Reply, Served};
use tokio::time::{Instant, sleep};

/// Longer than anything here takes.
fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

fn config(urls: &[String]) -> RemoteConfig {
    let servers = urls.iter().map(|url| url.parse().unwrap()).collect();
    RemoteConfig { probe_every: Duration::from_millis(50), ..RemoteConfig::new(servers) }
}

/// Where calls alone open circuits.
fn hardly_probed(urls: &[String]) -> RemoteConfig {
    RemoteConfig { probe_every: Duration::from_secs(600), ..config(urls) }
}

async fn connected(config: RemoteConfig) -> RemoteModel {
    RemoteModel::connect(config, soon()).await.unwrap()
}

fn input(first: f32) -> Tensor {
    Tensor { shape: vec![2, 4], data: Data::Float((0..8).map(|at| first + at as f32).collect()) }
}

fn doubled(first: f32) -> Vec<Tensor> {
    vec![Tensor {
        shape: vec![2, 4],
        data: Data::Float((0..8).map(|at| (first + at as f32) * 2.0).collect()),
    }]
}

/// Waits for what must come true.
async fn until(mut holds: impl FnMut() -> bool, what: &str) {
    let deadline = soon();
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

fn refusing(status: u16, code: u32, text: &str) -> Reply {
    Reply::Refused { status, code, text: text.to_owned() }
}

#[tokio::test]
async fn every_dialect_gives_the_same_answer() {
    for (binary, typed) in [(true, false), (false, true)] {
        let server = OipServer::start(Served { binary, typed, ..Served::default() }).await.unwrap();
        for url in [server.rest(), server.grpc()] {
            let model = connected(config(std::slice::from_ref(&url))).await;
            assert_eq!(model.signature().input.to_string(), "x [?, 4] of 32-bit floats");
            assert_eq!(
                model.infer(&Arc::new(input(0.1)), soon()).await.unwrap(),
                doubled(0.1),
                "{url}, binary: {binary}"
            );
            assert!(model.ready());
            assert_eq!(model.describe(), format!("remote model on {url}"));
        }
    }
}

#[tokio::test]
async fn a_megabyte_goes_and_comes_whole() {
    for (binary, typed) in [(true, false), (false, true)] {
        let server = OipServer::start(Served { binary, typed, ..Served::default() }).await.unwrap();
        let floats: Vec<f32> = (0..1 << 18).map(|at| (at as f32).sin()).collect();
        let tensor = Tensor { shape: vec![1 << 16, 4], data: Data::Float(floats.clone()) };
        let expected: Vec<f32> = floats.iter().map(|float| float * 2.0).collect();
        for url in [server.rest(), server.grpc()] {
            let model = connected(config(&[url])).await;
            let answer = model.infer(&Arc::new(tensor.clone()), soon()).await.unwrap();
            assert!(answer[0].data == Data::Float(expected.clone()));
        }
    }
}

#[tokio::test]
async fn an_input_that_does_not_fit_is_not_sent() {
    let server = OipServer::start(Served::default()).await.unwrap();
    let model = connected(config(&[server.grpc()])).await;
    for (shape, data, why) in [
        (vec![1, 4], Data::Byte(vec![0; 4]), "it has bytes for x [?, 4] of 32-bit floats"),
        (vec![4], Data::Float(vec![0.0; 4]), "its shape is [4]"),
        (vec![1, 5], Data::Float(vec![0.0; 5]), "its shape is [1, 5]"),
        (vec![2, 4], Data::Float(vec![0.0; 7]), "7 elements in the shape [2, 4]"),
    ] {
        let error = model.infer(&Arc::new(Tensor { shape, data }), soon()).await.unwrap_err();
        assert!(matches!(error, OipError::Input { .. }) && error.to_string().contains(why), "{error}");
    }
    assert_eq!(server.calls(), 0);
}

#[tokio::test]
async fn a_model_that_cannot_be_used_is_refused_at_the_start() {
    let x = || Port::new("x", "FP32", &[-1, 4]);
    for (inputs, outputs, why) in [
        (vec![x(), x()], vec![x()], "2 inputs"),
        (Vec::new(), vec![x()], "name no input"),
        (vec![Port::new("x", "INT64", &[4])], vec![x()], "x is of INT64"),
        (vec![x()], vec![Port::new("y", "BYTES", &[1])], "y is of BYTES"),
        (vec![x()], Vec::new(), "name no output"),
    ] {
        let server = OipServer::start(Served { inputs, outputs, ..Served::default() }).await.unwrap();
        for url in [server.rest(), server.grpc()] {
            let error = RemoteModel::connect(config(&[url]), soon()).await.unwrap_err();
            assert!(matches!(error, OipError::Unusable { .. }), "{error}");
            assert!(
                error.to_string().contains(why) && error.to_string().contains(&server.address().to_string()),
                "{error}"
            );
        }
    }
}

#[tokio::test]
async fn servers_with_different_models_are_refused_at_the_start() {
    let one = OipServer::start(Served::default()).await.unwrap();
    let outputs = vec![Port::new("y", "FP32", &[-1, 5])];
    let other = OipServer::start(Served { outputs, ..Served::default() }).await.unwrap();
    let error = RemoteModel::connect(config(&[one.rest(), other.grpc()]), soon()).await.unwrap_err();
    assert!(matches!(error, OipError::Disagree { .. }), "{error}");
    for said in [one.rest(), other.grpc(), "y [?, 4] of 32-bit floats against y [?, 5]".to_owned()] {
        assert!(error.to_string().contains(&said), "{error}");
    }
}

#[tokio::test]
async fn nobody_there_is_said_at_the_deadline_with_what_was_tried() {
    let gone = OipServer::start(Served::default()).await.unwrap();
    let urls = [gone.rest(), gone.grpc()];
    drop(gone);
    let deadline = Instant::now() + Duration::from_millis(300);
    let error = RemoteModel::connect(config(&urls), deadline).await.unwrap_err();
    assert!(matches!(error, OipError::NoneThere(_)), "{error}");
    assert!(
        urls.iter().all(|url| error.to_string().contains(url))
            && error.to_string().contains("is it running?"),
        "{error}"
    );
    let none = RemoteModel::connect(RemoteConfig::new(Vec::new()), soon()).await.unwrap_err();
    assert!(matches!(none, OipError::NoServers), "{none}");
}

#[tokio::test]
async fn a_server_that_is_still_loading_is_waited_for() {
    let server = OipServer::start(Served { ready: false, ..Served::default() }).await.unwrap();
    for url in [server.rest(), server.grpc()] {
        server.change(|served| served.ready = false);
        let connecting = tokio::spawn(RemoteModel::connect(config(&[url]), soon()));
        sleep(Duration::from_millis(100)).await;
        assert!(!connecting.is_finished());
        server.change(|served| served.ready = true);
        assert!(connecting.await.unwrap().unwrap().ready());
    }
}

#[tokio::test]
async fn a_token_is_sent_and_never_shown() {
    let token = Some("s3cr3t".to_owned());
    let server = OipServer::start(Served { token, ..Served::default() }).await.unwrap();
    for url in [server.rest(), server.grpc()] {
        let config = config(&[url]);
        let with = |token: &str| RemoteConfig { token: Some(token.to_owned().into()), ..config.clone() };
        let model = connected(with("s3cr3t")).await;
        assert_eq!(model.infer(&Arc::new(input(1.0)), soon()).await.unwrap(), doubled(1.0));
        assert!(!format!("{model:?}").contains("s3cr3t"), "{model:?}");
        for config in [with("wr0ng"), config.clone()] {
            let error = RemoteModel::connect(config, soon()).await.unwrap_err();
            assert!(matches!(error, OipError::Refused { .. }), "{error}");
            assert!(error.to_string().contains("ADIT_MODEL_SERVER_TOKEN"), "{error}");
            assert!(!format!("{error:?} {error}").contains("wr0ng"), "{error:?}");
        }
        let error = RemoteModel::connect(with("a\nb"), soon()).await.unwrap_err();
        assert!(
            matches!(error, OipError::Token) && !format!("{error:?} {error}").contains("a\nb"),
            "{error}"
        );
    }
}

/// What one server makes of a call, over both protocols.
async fn errors(reply: Reply) -> Vec<OipError> {
    let server = OipServer::start(Served { reply, ..Served::default() }).await.unwrap();
    let mut errors = Vec::new();
    for url in [server.rest(), server.grpc()] {
        let model =
            connected(RemoteConfig { call_limit: Duration::from_millis(400), ..hardly_probed(&[url]) }).await;
        let error = model.infer(&Arc::new(input(0.0)), soon()).await.unwrap_err();
        assert!(error.to_string().contains(&server.address().to_string()), "{error}");
        assert_eq!(model.status()[0].in_flight, 0, "{error}");
        errors.push(error);
    }
    errors
}

#[tokio::test]
async fn each_fault_of_a_server_has_its_words() {
    let port = |name, datatype, shape: &[i64]| Reply::As(Port::new(name, datatype, shape));
    for (reply, said) in [
        (port("z", "FP32", &[2, 4]), "no output y"),
        (port("y", "FP64", &[2, 4]), "of FP64 and not of FP32"),
        (port("y", "FP32", &[8]), "the shape [8]"),
        (port("y", "FP32", &[2, 2, 2]), "the shape [2, 2, 2]"),
        (port("y", "FP32", &[3, 4]), "8 elements in the shape [3, 4]"),
        (port("y", "FP32", &[-1, 4]), "the shape [-1, 4]"),
        (Reply::Bytes(b"garbage".to_vec()), "cannot be used"),
        (Reply::Half, "in the middle of its answer"),
        (Reply::Silence, "no answer within 0.4 s"),
        (Reply::HangUp, "without an answer"),
        (refusing(500, 13, "boom"), "boom"),
        (refusing(503, 14, "draining"), "draining"),
        (refusing(404, 5, "no such model"), "no such model"),
    ] {
        for error in errors(reply.clone()).await {
            assert!(matches!(error, OipError::Failed(_)), "{reply:?}: {error}");
            assert!(error.to_string().contains(said), "{reply:?}: {error}");
        }
    }
    let [rest, grpc] = &errors(Reply::Unfinished).await[..] else { panic!("two") };
    assert!(rest.to_string().contains("no JSON"), "{rest}");
    assert!(grpc.to_string().contains("without the status of gRPC"), "{grpc}");
}

#[tokio::test]
async fn numbers_that_json_has_no_word_for_are_answered_clearly() {
    for word in ["NaN", "Infinity", "null"] {
        let body = format!(
            r#"{{"outputs":[{{"name":"y","datatype":"FP32","shape":[1,4],"data":[1,{word},2,3]}}]}}"#
        );
        let server =
            OipServer::start(Served { reply: Reply::Bytes(body.into()), ..Served::default() }).await.unwrap();
        let model = connected(config(&[server.rest()])).await;
        let error = model.infer(&Arc::new(input(0.0)), soon()).await.unwrap_err().to_string();
        assert!(error.contains(word) && error.contains("the model put out a NaN or infinity"), "{error}");
    }
}

#[tokio::test]
async fn an_answer_beyond_the_limit_is_not_read() {
    let server = OipServer::start(Served::default()).await.unwrap();
    for url in [server.rest(), server.grpc()] {
        let model = connected(RemoteConfig { max_answer_bytes: 20, ..config(&[url]) }).await;
        let error = model.infer(&Arc::new(input(0.0)), soon()).await.unwrap_err().to_string();
        assert!(error.contains("larger than 20 bytes"), "{error}");
    }
}

#[tokio::test]
async fn what_is_our_fault_is_not_asked_of_another() {
    let reply = || refusing(400, 3, "unexpected shape");
    let one = OipServer::start(Served { reply: reply(), ..Served::default() }).await.unwrap();
    let two = OipServer::start(Served { reply: reply(), ..Served::default() }).await.unwrap();
    for urls in [[one.rest(), two.rest()], [one.grpc(), two.grpc()]] {
        let before = one.calls() + two.calls();
        let model = connected(config(&urls)).await;
        let error = model.infer(&Arc::new(input(0.0)), soon()).await.unwrap_err();
        assert!(
            matches!(error, OipError::Refused { .. }) && error.to_string().contains("unexpected shape"),
            "{error}"
        );
        assert!(error.to_string().contains("model.toml"), "{error}");
        assert_eq!(one.calls() + two.calls(), before + 1);
        assert!(model.status().iter().all(|status| status.last_failure.is_none()));
    }
}

#[tokio::test]
async fn whatever_one_server_does_another_answers() {
    let good = OipServer::start(Served::default()).await.unwrap();
    for reply in [
        refusing(500, 13, "boom"),
        refusing(503, 14, "draining"),
        refusing(429, 8, "queue full"),
        Reply::As(Port::new("z", "FP32", &[2, 4])),
        Reply::Bytes(b"garbage".to_vec()),
        Reply::Half,
        Reply::Silence,
        Reply::HangUp,
    ] {
        let bad = OipServer::start(Served { reply: reply.clone(), ..Served::default() }).await.unwrap();
        for urls in [[bad.rest(), good.grpc()], [bad.grpc(), good.rest()]] {
            let before = bad.calls();
            let model =
                connected(RemoteConfig { call_limit: Duration::from_millis(300), ..hardly_probed(&urls) })
                    .await;
            for at in 0..4 {
                assert_eq!(
                    model.infer(&Arc::new(input(at as f32)), soon()).await.unwrap(),
                    doubled(at as f32),
                    "{reply:?}"
                );
            }
            assert!(bad.calls() > before, "{reply:?}: it was asked");
        }
    }
}

#[tokio::test]
async fn busy_servers_are_asked_again_until_one_has_room() {
    let server = OipServer::start(Served { reply: refusing(429, 8, "queue full"), ..Served::default() })
        .await
        .unwrap();
    for url in [server.rest(), server.grpc()] {
        server.change(|served| served.reply = refusing(429, 8, "queue full"));
        let before = server.calls();
        let model = Arc::new(connected(config(&[url])).await);
        let short = Instant::now() + Duration::from_millis(200);
        let error = model.infer(&Arc::new(input(0.0)), short).await.unwrap_err();
        assert!(
            matches!(error, OipError::Deadline(_)) && error.to_string().contains("queue full"),
            "{error}"
        );
        let asking = tokio::spawn({
            let model = Arc::clone(&model);
            async move { model.infer(&Arc::new(input(1.0)), soon()).await }
        });
        until(|| server.calls() >= before + 3, "it is asked again").await;
        server.change(|served| served.reply = Reply::Doubled);
        assert_eq!(asking.await.unwrap().unwrap(), doubled(1.0));
        assert_eq!(model.status()[0].circuit, Circuit::Closed, "busy is no failure");
    }
}

#[tokio::test]
async fn the_callers_deadline_ends_a_call_and_blames_nobody() {
    let server = OipServer::start(Served { reply: Reply::Silence, ..Served::default() }).await.unwrap();
    for url in [server.rest(), server.grpc()] {
        let model = connected(RemoteConfig { most_failures: 1, ..config(&[url]) }).await;
        let deadline = Instant::now() + Duration::from_millis(150);
        let error = model.infer(&Arc::new(input(0.0)), deadline).await.unwrap_err();
        assert!(matches!(error, OipError::Deadline(_)), "{error}");
        let status = &model.status()[0];
        assert_eq!((status.circuit, status.in_flight), (Circuit::Closed, 0));
    }
}

#[tokio::test]
async fn dropping_a_call_ends_it_on_the_server_too() {
    let server = OipServer::start(Served { reply: Reply::Silence, ..Served::default() }).await.unwrap();
    for url in [server.rest(), server.grpc()] {
        let model = Arc::new(connected(config(&[url])).await);
        let calls: Vec<_> = (0..8)
            .map(|_| {
                let model = Arc::clone(&model);
                tokio::spawn(async move { model.infer(&Arc::new(input(0.0)), soon()).await })
            })
            .collect();
        until(|| server.waiting() == 8, "all are asked").await;
        assert_eq!(model.status()[0].in_flight, 8);
        for call in &calls {
            call.abort();
        }
        for call in calls {
            assert!(call.await.unwrap_err().is_cancelled());
        }
        assert_eq!(model.status()[0].in_flight, 0);
        until(|| server.waiting() == 0, "the server is told").await;
        assert_eq!(model.status()[0].circuit, Circuit::Closed);
    }
}

#[tokio::test]
async fn calls_are_spread_by_what_is_in_flight() {
    let slow = OipServer::start(Served { reply: Reply::Silence, ..Served::default() }).await.unwrap();
    let fast = OipServer::start(Served::default()).await.unwrap();
    let model = Arc::new(connected(config(&[slow.grpc(), fast.grpc()])).await);
    let stuck = tokio::spawn({
        let model = Arc::clone(&model);
        async move { model.infer(&Arc::new(input(0.0)), soon()).await }
    });
    until(|| slow.waiting() == 1, "one call is stuck").await;
    for at in 0..10 {
        assert_eq!(model.infer(&Arc::new(input(at as f32)), soon()).await.unwrap(), doubled(at as f32));
    }
    assert_eq!((slow.calls(), fast.calls()), (1, 10));
    stuck.abort();
}

#[tokio::test]
async fn a_server_that_keeps_failing_is_left_alone_until_it_passes_a_probe() {
    let served = Served { reply: refusing(500, 13, "boom"), ..Served::default() };
    let server = OipServer::start(served).await.unwrap();
    for url in [server.rest(), server.grpc()] {
        server.change(|served| (served.ready, served.reply) = (true, refusing(500, 13, "boom")));
        let before = server.calls();
        let model = connected(config(&[url])).await;
        // It would pass its probes, if it were ready.
        server.change(|served| served.ready = false);
        let mut errors = Vec::new();
        while model.ready() {
            errors.push(model.infer(&Arc::new(input(0.0)), soon()).await.unwrap_err());
        }
        assert!(errors.len() <= 3, "{errors:?}");
        let asked = server.calls();
        let error = model.infer(&Arc::new(input(0.0)), soon()).await.unwrap_err();
        assert!(matches!(error, OipError::NoneUp(_)), "{error}");
        assert_eq!(server.calls(), asked, "it was left alone");
        assert!(asked > before);
        server.change(|served| (served.ready, served.reply) = (true, Reply::Doubled));
        until(|| model.ready(), "a probe finds it").await;
        assert_eq!(model.infer(&Arc::new(input(2.0)), soon()).await.unwrap(), doubled(2.0));
        assert_eq!(model.status()[0].circuit, Circuit::Closed);
    }
}

#[tokio::test]
async fn one_of_two_servers_dies_under_load_and_no_call_is_lost() {
    for grpc in [false, true] {
        let one =
            OipServer::start(Served { reply: Reply::After(Duration::from_millis(3)), ..Served::default() })
                .await
                .unwrap();
        let two =
            OipServer::start(Served { reply: Reply::After(Duration::from_millis(3)), ..Served::default() })
                .await
                .unwrap();
        let url = |server: &OipServer| if grpc { server.grpc() } else { server.rest() };
        let model = Arc::new(connected(config(&[url(&one), url(&two)])).await);
        let callers: Vec<_> = (0..8)
            .map(|caller| {
                let model = Arc::clone(&model);
                tokio::spawn(async move {
                    for at in 0..50 {
                        let first = (caller * 100 + at) as f32;
                        assert_eq!(
                            model.infer(&Arc::new(input(first)), soon()).await.unwrap(),
                            doubled(first)
                        );
                    }
                })
            })
            .collect();
        until(|| one.calls() > 20, "it is under load").await;
        let address = one.address();
        drop(one);
        for caller in callers {
            caller.await.unwrap();
        }
        until(|| model.status()[0].circuit == Circuit::Open, "its probes fail").await;
        assert!(model.ready());
        assert!(model.status().iter().all(|status| status.in_flight == 0));

        // It comes back with another model: not asked. With the right one: used again.
        let outputs = vec![Port::new("y", "FP32", &[-1, 9])];
        let other = OipServer::start_at(address, Served { outputs, ..Served::default() }).await.unwrap();
        let says = |what: &str| {
            let failure = model.status()[0].last_failure.clone();
            failure.is_some_and(|failure| failure.contains(what))
        };
        until(|| says("another model"), "it is seen to have another model").await;
        assert_eq!((model.status()[0].circuit, other.calls()), (Circuit::Open, 0));
        other.change(|served| served.outputs = Served::default().outputs);
        until(|| model.status()[0].circuit == Circuit::HalfOpen, "it is found again").await;
        let mut at = 0.0;
        while other.calls() < 5 {
            assert_eq!(model.infer(&Arc::new(input(at)), soon()).await.unwrap(), doubled(at));
            at += 1.0;
        }
        assert_eq!(model.status()[0].circuit, Circuit::Closed);
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_at_the_start_is_used_when_it_comes() {
    let one = OipServer::start(Served::default()).await.unwrap();
    let late = OipServer::start(Served::default()).await.unwrap();
    let (address, urls) = (late.address(), [one.rest(), late.grpc()]);
    drop(late);
    let model = connected(config(&urls)).await;
    assert_eq!(model.status()[1].circuit, Circuit::Open);
    assert_eq!(model.infer(&Arc::new(input(0.0)), soon()).await.unwrap(), doubled(0.0));
    let late = OipServer::start_at(address, Served::default()).await.unwrap();
    until(|| model.status()[1].circuit != Circuit::Open, "it is found").await;
    while late.calls() == 0 {
        assert_eq!(model.infer(&Arc::new(input(1.0)), soon()).await.unwrap(), doubled(1.0));
    }
}

#[tokio::test]
async fn dropping_the_model_ends_its_probes() {
    let server = OipServer::start(Served::default()).await.unwrap();
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    let model = connected(config(&[server.rest()])).await;
    assert!(metrics.num_alive_tasks() > before);
    drop(model);
    // The server's own task for the connection ends with it.
    until(|| metrics.num_alive_tasks() <= before, "no task of it is left").await;
}
