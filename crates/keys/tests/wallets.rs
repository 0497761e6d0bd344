//! Wallet directories: written, found again, and listed with faults in them.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use adit_keys::{KeyFile, KeyFileError, Overwrite, Password, Protection, Secret, Wallet, WordCount, list};

fn wallet() -> (tempfile::TempDir, Wallet) {
    let folder = tempfile::tempdir().unwrap();
    let wallet = Wallet::new(folder.path(), "cold", "hot").unwrap();
    (folder, wallet)
}

#[test]
fn a_name_stays_inside_the_directory() {
    for name in ["", ".", "..", "a/b", "/etc", "a\0b"] {
        assert!(Wallet::new("/w", name, "h").is_err(), "{name:?}");
        assert!(Wallet::new("/w", "w", name).is_err(), "{name:?}");
    }
}

#[test]
fn the_files_lie_where_bittensor_looks_for_them() {
    let wallet = Wallet::new("/w", "cold", "hot").unwrap();
    for (path, expected) in [
        (wallet.coldkey_file(), "/w/cold/coldkey"),
        (wallet.coldkeypub_file(), "/w/cold/coldkeypub.txt"),
        (wallet.hotkey_file(), "/w/cold/hotkeys/hot"),
        (wallet.hotkeypub_file(), "/w/cold/hotkeys/hotpub.txt"),
    ] {
        assert_eq!(path.to_str().unwrap(), expected);
    }
}

#[test]
fn password_variables_follow_the_path_as_written_and_as_it_is() {
    let wallet = Wallet::new("/home/op/.bittensor/wallets", "default", "h").unwrap();
    let own = "BT_PW__HOME_OP__BITTENSOR_WALLETS_DEFAULT_COLDKEY";
    assert_eq!(wallet.password_variables(&wallet.coldkey_file()), [own]);
    let wallet = wallet.written_as("~/.bittensor/wallets");
    let names = wallet.password_variables(&wallet.coldkey_file());
    assert_eq!(names, ["BT_PW_~__BITTENSOR_WALLETS_DEFAULT_COLDKEY", own]);
}

#[test]
fn a_stored_hotkey_opens_and_is_private() {
    let (_kept, wallet) = wallet();
    for secret in [
        Secret::generate(WordCount::TwentyFour),
        Secret::from_seed(Secret::generate(WordCount::Twelve).seed().unwrap().clone()),
        Secret::from_uri("//Alice/soft").unwrap(),
    ] {
        wallet.store_hotkey(&secret, Protection::Plain, Overwrite::Yes).unwrap();
        let opened = wallet.open_hotkey(None).unwrap();
        assert_eq!(opened.address(), secret.address());
        assert_eq!(opened.seed(), secret.seed());
        assert_eq!(opened.phrase().map(|p| p.expose_words()), secret.phrase().map(|p| p.expose_words()));
        assert_eq!(wallet.hotkey_address().unwrap(), secret.address());
    }
    for file in [wallet.hotkey_file(), wallet.hotkeypub_file()] {
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert!(!wallet.coldkey_present());
}

#[test]
fn a_stored_coldkey_is_encrypted_and_opens_with_its_password_alone() {
    let (_kept, wallet) = wallet();
    let secret = Secret::generate(WordCount::Twelve);
    let password = Password::new("pä ss ✓").unwrap();
    wallet.store_coldkey(&secret, Protection::Nacl(&password), Overwrite::No).unwrap();
    let bytes = std::fs::read(wallet.coldkey_file()).unwrap();
    assert!(bytes.starts_with(b"$NACL"));
    assert!(!bytes.windows(6).any(|window| window == b"secret"));
    assert!(matches!(wallet.open_coldkey(None), Err(KeyFileError::NeedsPassword { .. })));
    assert_eq!(wallet.open_coldkey(Some(&password)).unwrap().address(), secret.address());
    assert_eq!(wallet.coldkey_address().unwrap(), secret.address());
    assert!(wallet.coldkey_present());
}

#[test]
fn nothing_is_overwritten_unasked() {
    let (_kept, wallet) = wallet();
    let (first, second) = (Secret::generate(WordCount::Twelve), Secret::generate(WordCount::Twelve));
    wallet.store_hotkey(&first, Protection::Plain, Overwrite::No).unwrap();
    let exists = |result| assert!(matches!(result, Err(KeyFileError::Exists { .. })));
    exists(wallet.store_hotkey(&second, Protection::Plain, Overwrite::No));
    exists(wallet.hotkey_is_free(None));
    // A public file alone is in the way of every key but its own.
    std::fs::remove_file(wallet.hotkey_file()).unwrap();
    exists(wallet.store_hotkey(&second, Protection::Plain, Overwrite::No));
    exists(wallet.hotkey_is_free(None));
    wallet.hotkey_is_free(Some(first.address())).unwrap();
    wallet.store_hotkey(&first, Protection::Plain, Overwrite::No).unwrap();
    wallet.store_hotkey(&second, Protection::Plain, Overwrite::Yes).unwrap();
    assert_eq!(wallet.open_hotkey(None).unwrap().address(), second.address());
}

#[test]
fn a_directory_where_the_key_should_be_stays() {
    let (_kept, wallet) = wallet();
    std::fs::create_dir_all(wallet.hotkey_file()).unwrap();
    let secret = Secret::generate(WordCount::Twelve);
    for overwrite in [Overwrite::No, Overwrite::Yes] {
        assert!(wallet.store_hotkey(&secret, Protection::Plain, overwrite).is_err());
    }
    assert!(wallet.hotkey_file().is_dir());
}

#[test]
fn a_public_file_of_another_key_is_noticed() {
    let (_kept, wallet) = wallet();
    let (own, other) = (Secret::generate(WordCount::Twelve), Secret::generate(WordCount::Twelve));
    wallet.store_coldkey(&other, Protection::Plain, Overwrite::No).unwrap();
    let public = std::fs::read(wallet.coldkeypub_file()).unwrap();
    wallet.store_coldkey(&own, Protection::Plain, Overwrite::Yes).unwrap();
    std::fs::write(wallet.coldkeypub_file(), public).unwrap();
    let error = wallet.open_coldkey(None).unwrap_err();
    let KeyFileError::PublicMismatch { said, actual, .. } = error else { panic!("{error:?}") };
    assert_eq!((said, actual), (other.address(), own.address()));
}

#[test]
fn an_address_needs_no_password_and_no_public_file() {
    let (_kept, wallet) = wallet();
    let secret = Secret::generate(WordCount::Twelve);
    wallet.store_hotkey(&secret, Protection::Plain, Overwrite::No).unwrap();
    std::fs::write(wallet.hotkey_file(), b"$NACL and so on").unwrap();
    assert_eq!(wallet.hotkey_address().unwrap(), secret.address());
    wallet.store_hotkey(&secret, Protection::Plain, Overwrite::Yes).unwrap();
    std::fs::remove_file(wallet.hotkeypub_file()).unwrap();
    assert_eq!(wallet.hotkey_address().unwrap(), secret.address());
    std::fs::write(wallet.hotkey_file(), b"$NACL and so on").unwrap();
    assert!(matches!(wallet.hotkey_address(), Err(KeyFileError::NeedsPassword { .. })));
}

#[test]
fn a_key_that_others_can_read_works_and_is_told() {
    let (_kept, wallet) = wallet();
    let secret = Secret::generate(WordCount::Twelve);
    wallet.store_hotkey(&secret, Protection::Plain, Overwrite::No).unwrap();
    std::fs::set_permissions(wallet.hotkey_file(), Permissions::from_mode(0o644)).unwrap();
    let file = KeyFile::read(&wallet.hotkey_file()).unwrap();
    assert_eq!(file.open(None).unwrap().address(), secret.address());
    assert_eq!(file.exposure().unwrap().mode(), 0o644);
}

#[test]
fn a_list_shows_faults_beside_names_and_goes_on() {
    let (kept, wallet) = wallet();
    let secret = Secret::generate(WordCount::Twelve);
    let named = |hotkey| Wallet::new(kept.path(), "cold", hotkey).unwrap();
    for hotkey in ["hot", "b", "damaged", "public", "swapped"] {
        named(hotkey).store_hotkey(&secret, Protection::Plain, Overwrite::No).unwrap();
    }
    wallet.store_coldkey(&secret, Protection::Plain, Overwrite::No).unwrap();
    std::fs::write(named("damaged").hotkey_file(), "{\"secretSeed\":").unwrap();
    std::fs::remove_file(named("public").hotkey_file()).unwrap();
    std::fs::create_dir(named("folder").hotkey_file()).unwrap();
    let other = Secret::generate(WordCount::Twelve);
    named("other").store_hotkey(&other, Protection::Plain, Overwrite::No).unwrap();
    std::fs::rename(named("other").hotkey_file(), named("swapped").hotkey_file()).unwrap();
    std::fs::remove_file(named("other").hotkeypub_file()).unwrap();
    std::fs::write(kept.path().join("a file"), "x").unwrap();
    std::fs::create_dir(kept.path().join(".hidden")).unwrap();
    std::fs::create_dir(kept.path().join("empty")).unwrap();

    let wallets = list(kept.path()).unwrap();
    assert_eq!(wallets.iter().map(|w| w.name.as_str()).collect::<Vec<_>>(), ["cold", "empty"]);
    assert_eq!(wallets[0].coldkey.as_ref().unwrap().as_ref().unwrap(), &secret.address());
    assert!(wallets[0].coldkey_present && !wallets[1].coldkey_present);
    assert!(wallets[1].coldkey.is_none() && wallets[1].hotkeys.as_ref().unwrap().is_empty());
    let shown: Vec<_> = wallets[0]
        .hotkeys
        .as_ref()
        .unwrap()
        .iter()
        .map(|hotkey| {
            let address = match &hotkey.address {
                Ok(address) if *address == secret.address() => "ok",
                Ok(_) => "another",
                Err(KeyFileError::Truncated { .. }) => "truncated",
                Err(KeyFileError::NotAFile { .. }) => "directory",
                Err(KeyFileError::PublicMismatch { .. }) => "mismatch",
                Err(error) => panic!("{error:?}"),
            };
            (hotkey.name.as_str(), address, hotkey.secret_present)
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("b", "ok", true),
            ("damaged", "truncated", true),
            ("folder", "directory", false),
            ("hot", "ok", true),
            ("public", "ok", false),
            ("swapped", "mismatch", true),
        ]
    );
    assert!(matches!(list(&kept.path().join("none")), Err(KeyFileError::Missing { .. })));
}
