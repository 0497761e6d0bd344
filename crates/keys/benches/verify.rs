//! Our verification beside bare schnorrkel, its lower limit.

use adit_keys::Keypair;
use criterion::{Criterion, criterion_group, criterion_main};
use schnorrkel::PublicKey;

fn verify(criterion: &mut Criterion) {
    let pair = Keypair::generate();
    let (message, hotkey) = (b"1773219466334709821_DPpsMLL8dM:5EJ4:ab".repeat(3), pair.hotkey());
    let text = pair.sign(&message).to_string();
    let mut group = criterion.benchmark_group("verify");
    group.bench_function("adit-keys: hex text and ss58 key", |bencher| {
        bencher.iter(|| text.parse::<adit_keys::Signature>().expect("valid").verifies(&message, &hotkey));
    });
    let raw = hex::decode(&text[2..]).expect("hex");
    group.bench_function("limit: bare schnorrkel", |bencher| {
        bencher.iter(|| {
            let signature = schnorrkel::Signature::from_bytes(&raw).expect("valid");
            let key = PublicKey::from_bytes(hotkey.as_bytes()).expect("valid");
            key.verify_simple(b"substrate", &message, &signature).is_ok()
        });
    });
    group.finish();
}

criterion_group!(benches, verify);
criterion_main!(benches);
