//! Files that are broken, or made to break: each has a verdict or an error, and nothing hangs.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::Cursor;
use std::path::Path;

use adit_provenance::signing::{Authority, Claim, Signer};
use adit_provenance::{Era, Format, Refusal, Stale, TrustAnchors, Verdict, Verifier};
use adit_stand_in::media;
use chrono::{TimeDelta, Utc};
use proptest::prelude::*;

struct Stage {
    authority: Authority,
    signer: Signer,
    verifier: Verifier,
}

impl Stage {
    fn set() -> Self {
        let authority = Authority::new("Root for tests").unwrap();
        let signer = authority.signer("OpenAI (test)").unwrap();
        Self { verifier: trusting(&authority, Era::Head), authority, signer }
    }

    fn verdict(&self, file: &[u8]) -> Verdict {
        self.verifier.verify(Cursor::new(file)).unwrap()
    }

    fn signed(&self, file: &[u8]) -> Vec<u8> {
        self.signer.sign_bytes(&Claim::now("gpt-image-1"), file).unwrap()
    }
}

fn trusting(authority: &Authority, era: Era) -> Verifier {
    let anchors = TrustAnchors::default().trusting("root", authority.certificate()).unwrap();
    Verifier::new(&anchors, era).unwrap()
}

fn refusal(verdict: &Verdict) -> String {
    verdict.refusal.as_ref().unwrap().to_string()
}

fn codes(verdict: &Verdict) -> Vec<&str> {
    verdict.failures.iter().map(|failure| failure.code.as_str()).collect()
}

#[test]
fn what_is_signed_here_is_accepted_in_every_format() {
    let stage = Stage::set();
    let document = trusting(&stage.authority, Era::Document);
    for file in media::ALL {
        let signed = stage.signed(file);
        let verdict = stage.verdict(&signed);
        assert_eq!(verdict.refusal, None, "{}", verdict.format);
        assert!(verdict.ai_generated);
        assert_eq!(verdict.signer.as_ref().unwrap().organisation.as_deref(), Some("OpenAI (test)"));
        assert_eq!(verdict.claim_generator.as_deref(), Some("gpt-image-1"));
        assert_eq!(verdict.format, Format::detect(file));
        assert_eq!(verdict.freshness(Utc::now(), Some(Utc::now())), Ok(()));
        assert!(document.verify(Cursor::new(&signed)).unwrap().accepted());
    }
}

#[test]
fn one_bit_of_the_media_is_enough_to_be_refused() {
    let stage = Stage::set();
    for file in media::ALL {
        let mut signed = stage.signed(file);
        // The media's own bytes come last, but for what a container has to end with.
        let at = signed.windows(40).rposition(|window| file.windows(40).any(|own| own == window)).unwrap();
        signed[at + 20] ^= 1;
        let verdict = stage.verdict(&signed);
        assert!(!verdict.accepted(), "{}", verdict.format);
    }
}

#[test]
fn cut_anywhere_a_file_is_refused_and_never_more() {
    let stage = Stage::set();
    for file in media::ALL {
        let signed = stage.signed(file);
        let format = Format::detect(file);
        let mut cuts = boxes(&signed);
        cuts.extend((0..signed.len()).step_by(97));
        assert!(cuts.len() > 20, "{format}: {cuts:?}");
        for cut in cuts {
            for cut in [cut.saturating_sub(1), cut, (cut + 1).min(signed.len() - 1)] {
                let verdict = stage.verdict(&signed[..cut]);
                assert!(!verdict.accepted(), "{format} cut at {cut} of {}", signed.len());
            }
        }
    }
}

/// Where the boxes of JUMBF and of MP4 begin, at whatever depth: four bytes before a type.
fn boxes(file: &[u8]) -> Vec<usize> {
    let types = [
        b"jumb", b"jumd", b"cbor", b"json", b"uuid", b"bidb", b"bfdb", b"c2sh", b"ftyp", b"moov", b"mdat",
        b"free", b"trak", b"mdia", b"stbl", b"stco", b"caBX", b"IDAT", b"IEND", b"C2PA", b"VP8 ",
    ];
    let starts = file.windows(4).enumerate().filter(|(_, window)| types.iter().any(|kind| kind == window));
    starts.map(|(at, _)| at.saturating_sub(4)).collect()
}

#[test]
fn what_is_no_media_has_no_manifest() {
    let stage = Stage::set();
    for file in [&b""[..], b"\0", b"a text about a lighthouse\n", b"{}", &[0; 4096], &[0xff; 4096]] {
        let verdict = stage.verdict(file);
        assert_eq!(verdict.format, Format::Unknown);
        assert_eq!(refusal(&verdict), "No C2PA manifest found: NotSupported: type is unsupported");
    }
    // The first bytes of each format and nothing after them.
    for file in media::ALL {
        assert!(matches!(stage.verdict(&file[..16]).refusal, Some(Refusal::NoManifest(_))));
        assert!(matches!(stage.verdict(file).refusal, Some(Refusal::NoManifest(_))));
    }
}

#[test]
fn a_wrong_name_is_of_no_account() {
    let stage = Stage::set();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.mp4");
    std::fs::write(&path, stage.signed(media::PNG)).unwrap();
    let verdict = stage.verifier.verify_file(&path).unwrap();
    assert!(verdict.accepted());
    assert_eq!(verdict.format, Format::Png);
}

#[test]
fn two_gigabytes_of_zeros_are_looked_at_once() {
    let stage = Stage::set();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    std::fs::File::create(&path).unwrap().set_len(2 << 30).unwrap();
    assert_eq!(stage.verifier.verify_file(&path).unwrap().format, Format::Unknown);
    // The same behind a beginning that promises a clip.
    for head in [&media::MP4[..32], &media::PNG[..8], &media::JPEG[..4], &media::WEBP[..12]] {
        std::fs::write(&path, head).unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_len(2 << 30).unwrap();
        assert!(!stage.verifier.verify_file(&path).unwrap().accepted());
    }
}

#[test]
fn a_picture_may_have_256_mib_and_not_one_byte_more() {
    let stage = Stage::set();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.png");
    std::fs::write(&path, stage.signed(media::PNG)).unwrap();
    let said = |length| {
        std::fs::File::options().write(true).open(&path).unwrap().set_len(length).unwrap();
        refusal(&stage.verifier.verify_file(&path).unwrap())
    };
    assert!(said((256 << 20) + 1).contains("more than 256 MiB, and only a clip may"));
    assert!(
        said(256 << 20).contains("assertion.dataHash.mismatch"),
        "it is read, and is not what was signed"
    );
}

/// The library's time goes by the square of the number of boxes.
#[test]
fn a_clip_may_be_in_many_pieces_but_not_in_endless_ones() {
    let stage = Stage::set();
    let clip = |pieces| [media::MP4, &b"\0\0\0\x08free".repeat(pieces)].concat();
    assert_eq!(stage.verdict(&stage.signed(&clip(2_000))).refusal, None);
    let endless = refusal(&stage.verdict(&clip(300_000)));
    assert!(endless.contains("it is in too many pieces"), "{endless}");
}

/// A PNG with this in its C2PA chunk.
fn png_with(jumbf: &[u8]) -> Vec<u8> {
    let mut file = media::PNG[..33].to_vec();
    file.extend(u32::try_from(jumbf.len()).unwrap().to_be_bytes());
    let chunk: Vec<u8> = b"caBX".iter().chain(jumbf).copied().collect();
    file.extend(&chunk);
    file.extend(crc(&chunk).to_be_bytes());
    file.extend(&media::PNG[33..]);
    file
}

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

/// The C2PA chunk of a signed PNG.
fn jumbf_of(png: &[u8]) -> &[u8] {
    let at = png.windows(4).position(|window| window == b"caBX").unwrap();
    let length = u32::from_be_bytes(png[at - 4..at].try_into().unwrap()) as usize;
    &png[at + 4..at + 4 + length]
}

#[test]
fn boxes_in_boxes_a_thousand_deep_are_refused() {
    let stage = Stage::set();
    let description = b"\0\0\0\x1ejumdc2pa\0\x11\0\x10\x80\0\0\xaa\0\x38\x9b\x71\x03c2pa\0";
    for depth in [31, 32, 33, 1000, 10_000] {
        let boxes = (0..depth).fold(Vec::new(), |inner: Vec<u8>, _| {
            let length = u32::try_from(8 + description.len() + inner.len()).unwrap();
            [&length.to_be_bytes()[..], b"jumb", description, &inner].concat()
        });
        assert!(!stage.verdict(&png_with(&boxes)).accepted(), "{depth}");
    }
    // The same for MP4, whose containers nest too.
    let moov = (0..10_000u32).fold(Vec::new(), |inner: Vec<u8>, _| {
        [&u32::try_from(8 + inner.len()).unwrap().to_be_bytes()[..], b"moov", &inner].concat()
    });
    assert!(!stage.verdict(&[&media::MP4[..32], &moov].concat()).accepted());
}

#[test]
fn lengths_beyond_all_bounds_are_refused() {
    let stage = Stage::set();
    for length in [1u64 << 63, u64::MAX, (1 << 63) - 1, 1 << 40] {
        let large = |kind: &[u8]| [&1u32.to_be_bytes()[..], kind, &length.to_be_bytes()].concat();
        assert!(!stage.verdict(&png_with(&large(b"jumb"))).accepted());
        let uuid = [&large(b"uuid")[..], b"\xd8\xfe\xc3\xd6\x1b\x0e\x48\x3c\x92\x97\x58\x28\x87\x7e\xc4\x81"]
            .concat();
        for kind in [large(b"mdat"), large(b"moov"), uuid] {
            assert!(!stage.verdict(&[&media::MP4[..32], &kind, &media::MP4[32..]].concat()).accepted());
        }
        // Behind a manifest that is good.
        assert!(!stage.verdict(&[stage.signed(media::MP4), large(b"mdat")].concat()).accepted());
    }
    let mut chunk = stage.signed(media::PNG);
    let at = chunk.windows(4).position(|window| window == b"caBX").unwrap();
    chunk[at - 4..at].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(!stage.verdict(&chunk).accepted());
}

#[test]
fn two_manifests_are_one_too_many() {
    let stage = Stage::set();
    let (one, other) = (stage.signed(media::PNG), stage.signed(media::PNG));
    let chunk = png_with(jumbf_of(&other));
    let second = &chunk[33..chunk.len() - (media::PNG.len() - 33)];
    let doubled = [&one[..33], second, &one[33..]].concat();
    let verdict = stage.verdict(&doubled);
    assert_eq!(refusal(&verdict), "No C2PA manifest found: more than one manifest store detected");
}

#[test]
fn a_manifest_that_is_only_linked_to_is_not_fetched() {
    let stage = Stage::set();
    // A server that would notice.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/manifest.c2pa", listener.local_addr().unwrap());
    let xmp = format!(
        "<x:xmpmeta xmlns:x=\"adobe:ns:meta/\"><rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\
         <rdf:Description rdf:about=\"\" xmlns:dcterms=\"http://purl.org/dc/terms/\" dcterms:provenance=\"{url}\"/>\
         </rdf:RDF></x:xmpmeta>"
    );
    let packet = [&b"http://ns.adobe.com/xap/1.0/\0"[..], xmp.as_bytes()].concat();
    let length = u16::try_from(packet.len() + 2).unwrap();
    let segment = [&b"\xff\xe1"[..], &length.to_be_bytes(), &packet].concat();
    let file = [&media::JPEG[..2], &segment, &media::JPEG[2..]].concat();

    let verdict = stage.verdict(&file);
    let said = refusal(&verdict);
    assert!(said.contains(&url), "{said}");
    assert!(listener.accept().is_err(), "somebody connected");
}

#[test]
fn a_chain_that_goes_in_circles_leads_nowhere() {
    let (one, other) = (Authority::new("One").unwrap(), Authority::new("Other").unwrap());
    let circle = [other.cross_signed(&one).unwrap(), one.cross_signed(&other).unwrap()];
    let now = Utc::now();
    let signer = one
        .signer_valid(
            "OpenAI (test)",
            now - TimeDelta::days(1),
            now + TimeDelta::days(1),
            &[&circle[1], &circle[0], &circle[1], &circle[0]],
        )
        .unwrap();
    let stage = Stage::set();
    let file = signer.sign_bytes(&Claim::now("gpt-image-1"), media::JPEG).unwrap();
    assert_eq!(codes(&stage.verdict(&file)), ["signingCredential.untrusted"]);
}

#[test]
fn a_certificate_under_another_root_is_not_trusted() {
    let stage = Stage::set();
    let between = Authority::under(&stage.authority, "Between").unwrap();
    let now = Utc::now();
    let (yesterday, tomorrow) = (now - TimeDelta::days(1), now + TimeDelta::days(1));
    let chained =
        between.signer_valid("OpenAI (test)", yesterday, tomorrow, &[between.certificate()]).unwrap();
    let file = chained.sign_bytes(&Claim::now("gpt-image-1"), media::JPEG).unwrap();
    assert!(stage.verdict(&file).accepted());

    let file = Authority::new("Root for tests").unwrap().signer("OpenAI (test)").unwrap();
    let file = file.sign_bytes(&Claim::now("gpt-image-1"), media::JPEG).unwrap();
    let verdict = stage.verdict(&file);
    assert_eq!(codes(&verdict), ["signingCredential.untrusted"]);
    assert!(verdict.refusal.unwrap().remedy().contains("trust anchors"));
}

#[test]
fn without_anchors_nobody_is_trusted() {
    let stage = Stage::set();
    let verifier = Verifier::new(&TrustAnchors::default(), Era::Head).unwrap();
    let verdict = verifier.verify(Cursor::new(stage.signed(media::PNG))).unwrap();
    assert_eq!(codes(&verdict), ["signingCredential.untrusted"]);
}

#[test]
fn a_leaf_out_of_date_is_not_accepted() {
    let stage = Stage::set();
    let now = Utc::now();
    let signer = stage
        .authority
        .signer_valid("OpenAI (test)", now - TimeDelta::days(1), now + TimeDelta::seconds(4), &[])
        .unwrap();
    let file = signer.sign_bytes(&Claim::now("gpt-image-1"), media::JPEG).unwrap();
    // Nothing can be signed by a certificate that is out of date already.
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let verdict = loop {
        let verdict = stage.verdict(&file);
        if !verdict.accepted() {
            break verdict;
        }
        assert!(std::time::Instant::now() < until, "still accepted");
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    assert_eq!(codes(&verdict), ["signingCredential.expired"]);
}

#[test]
fn a_signing_time_is_judged_against_challenge_and_clock() {
    let stage = Stage::set();
    let now = Utc::now();
    let minutes = TimeDelta::minutes;
    for (signed, sent, expected) in [
        (now, Some(now), Ok(())),
        (now, None, Ok(())),
        (now - minutes(9), Some(now), Ok(())),
        (now - minutes(11), Some(now), Err(Stale::BeforeChallenge)),
        (now - minutes(11), None, Ok(())),
        (now + minutes(9), Some(now), Ok(())),
        (now + minutes(11), Some(now), Err(Stale::Future)),
        (now + minutes(11), None, Err(Stale::Future)),
    ] {
        let claim = Claim { created: signed, ..Claim::now("gpt-image-1") };
        let file = stage.signer.sign_bytes(&claim, media::PNG).unwrap();
        let verdict = stage.verdict(&file);
        assert!(verdict.accepted(), "the data itself holds");
        assert_eq!(verdict.freshness(now, sent), expected, "{signed} {sent:?}");
        let document = trusting(&stage.authority, Era::Document).verify(Cursor::new(&file)).unwrap();
        assert_eq!(document.freshness(now, sent), Ok(()), "the guide's validators do not ask");
    }
}

#[test]
fn what_is_not_a_file_is_an_error_at_once() {
    let stage = Stage::set();
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    let said = |path: &Path| stage.verifier.verify_file(path).unwrap_err().to_string();
    assert!(said(&pipe).ends_with("is a pipe, not a file"));
    assert!(said(folder.path()).ends_with("is a directory, not a file"));
    assert!(said(Path::new("/dev/zero")).ends_with("is a device, not a file"));
    assert!(said(&folder.path().join("none")).contains("No such file"));
}

#[test]
fn a_disk_that_fails_is_no_verdict() {
    /// A file whose second half cannot be read.
    struct Failing<'a>(Cursor<&'a [u8]>);
    impl std::io::Read for Failing<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.0.position() > self.0.get_ref().len() as u64 / 2 {
                return Err(std::io::Error::from_raw_os_error(5));
            }
            let room = buffer.len().min(64);
            self.0.read(&mut buffer[..room])
        }
    }
    impl std::io::Seek for Failing<'_> {
        fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
            self.0.seek(to)
        }
    }
    let stage = Stage::set();
    let signed = stage.signed(media::PNG);
    let error = stage.verifier.verify(Failing(Cursor::new(&signed))).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(5));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Bytes changed, cut out and doubled: never accepted as long as something of the media is among them, and
    /// never a panic.
    #[test]
    fn no_mutation_breaks_the_verdict(
        which in 0..media::ALL.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8, 1..300usize), 1..6),
    ) {
        let stage = Stage::set();
        let mut file = stage.signed(media::ALL[which]);
        for (at, byte, kind, length) in changes {
            let at = at.index(file.len());
            let end = (at + length).min(file.len());
            match kind {
                0 => file[at] = byte,
                1 => drop(file.drain(at..end)),
                2 => file[at..end].fill(byte),
                _ => {
                    let part = file[at..end].to_vec();
                    file.splice(at..at, part);
                }
            }
            if file.is_empty() {
                break;
            }
        }
        let verdict = stage.verdict(&file);
        prop_assert_eq!(verdict.accepted(), verdict.refusal.is_none());
    }
}
