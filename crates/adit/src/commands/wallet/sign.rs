//! `sign` and `verify`.

use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Read as _};
use std::process::ExitCode;

use adit_keys::message_bytes;
use adit_settings::Environment;
use serde_json::json;

use crate::cli::wallet::{MessageArgs, SignMessage, VerifyMessage};
use crate::commands::password;
use crate::failure::Failure;

/// The largest message from stdin, in bytes.
const MAX_MESSAGE: u64 = 16 * 1024 * 1024;

pub(super) fn sign(env: &Environment, args: &SignMessage) -> Result<ExitCode, Failure> {
    let wallet = args.wallet.resolve(env)?;
    let message = message(&args.message)?;
    let open = if args.coldkey { password::open_coldkey } else { password::open_hotkey };
    let pair = open(env, &wallet, &args.password)?;
    let signature = pair.sign(&message);
    if args.json {
        let (address, signature) = (pair.hotkey().to_string(), signature.to_string());
        let signed = json!({"ss58": address, "message_hex": hex::encode(&message), "signature": signature});
        println!("{signed:#}");
    } else {
        println!("{signature}");
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn verify(args: &VerifyMessage) -> Result<ExitCode, Failure> {
    let valid = args.signature.verifies_bare_or_wrapped(&message(&args.message)?, &args.ss58);
    if args.json {
        println!("{:#}", json!({"ss58": args.ss58.to_string(), "valid": valid}));
    } else if valid {
        println!("valid: {} signed this message", args.ss58);
    } else {
        println!("NOT VALID: {} did not sign this message", args.ss58);
    }
    Ok(if valid { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn message(args: &MessageArgs) -> Result<Cow<'_, [u8]>, Failure> {
    if let Some(text) = &args.message {
        return Ok(message_bytes(text)?);
    }
    if let Some(digits) = &args.message_hex {
        let digits = digits.strip_prefix("0x").unwrap_or(digits);
        return hex::decode(digits)
            .map(Cow::Owned)
            .map_err(|_| Failure::new("--message-hex is not hex digits in pairs"));
    }
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Err(Failure::new("no message was given").hint(
            "give it with --message or --message-hex, or pipe it in: printf hello | adit wallet sign",
        ));
    }
    let mut bytes = Vec::new();
    let read = stdin.lock().take(MAX_MESSAGE + 1).read_to_end(&mut bytes);
    read.map_err(|error| Failure::new(format!("cannot read the message from stdin: {error}")))?;
    if bytes.len() as u64 > MAX_MESSAGE {
        return Err(Failure::new("the message on stdin is larger than 16 MiB"));
    }
    Ok(Cow::Owned(bytes))
}
