//! What the chain says against a transaction, as a sentence with a hint.
//!
//! Names are looked up in the metadata of the runtime that said it: their numbers change from version
//! to version (chain reference, section 2).

use std::fmt;

/// Why the chain did not do what a transaction asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The chain's own name for it: `SubtensorModule.HotKeyAlreadyRegisteredInSubNet`, `Custom error: 6`.
    pub name: String,
    /// What it means.
    pub sentence: String,
    /// What to do.
    pub hint: &'static str,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.sentence, self.name)
    }
}

const SHOW: &str = "`adit subnet show` says how the subnet stands";
const WAIT: &str = "wait some minutes and try again";
const FUND: &str =
    "send TAO to the coldkey, or use a wallet that has some; `adit subnet show` says what it has";
const REGISTER: &str = "register it first: `adit subnet register`";
const ADDRESS: &str = "name this host's public address with --ip and --port";
const RARELY: &str = "nothing was changed; a miner rarely meets this one: look its name up in the pallet of the subtensor source";

/// Name, sentence, hint. Those that a miner can meet by what Adit sends.
const KNOWN: &[(&str, &str, &str)] = &[
    (
        "SubnetNotExists",
        "there is no such subnet on this chain",
        "is --netuid right, and --network the one you meant?",
    ),
    (
        "SubNetworkDoesNotExist",
        "there is no such subnet on this chain",
        "is --netuid right, and --network the one you meant?",
    ),
    (
        "MechanismDoesNotExist",
        "there is no such subnet on this chain",
        "is --netuid right, and --network the one you meant?",
    ),
    ("SubNetRegistrationDisabled", "registration on this subnet is closed", SHOW),
    (
        "RegistrationNotPermittedOnRootSubnet",
        "nobody registers on subnet 0 like this",
        "name the subnet with --netuid 44 or 34",
    ),
    (
        "HotKeyAlreadyRegisteredInSubNet",
        "the hotkey is registered on this subnet already",
        "there is nothing to do; `adit subnet show` says its uid",
    ),
    (
        "TooManyRegistrationsThisBlock",
        "this block has taken all the registrations that it may",
        "try again at once: the next block comes within 12 s",
    ),
    (
        "TooManyRegistrationsThisInterval",
        "the subnet has taken all the registrations of this interval",
        "an interval is an hour or two: wait and try again; `adit subnet show` counts them",
    ),
    ("NoNeuronIdAvailable", "every neuron of the subnet is still immune, so none can be replaced", WAIT),
    ("NotEnoughBalanceToStake", "the coldkey cannot pay what a registration costs", FUND),
    ("InsufficientBalance", "the coldkey cannot pay for this", FUND),
    ("BalanceWithdrawalError", "the price could not be taken from the coldkey", FUND),
    ("ZeroBalanceAfterWithdrawn", "the price would empty the coldkey's account", FUND),
    (
        "RegistrationPriceLimitExceeded",
        "the price has risen above the limit",
        "try again, or allow more with --max-cost",
    ),
    (
        "NonAssociatedColdKey",
        "the hotkey belongs to another coldkey",
        "sign with the coldkey that owns it, or make a new one: `adit wallet new-hotkey`",
    ),
    ("HotKeyAccountNotExists", "the chain does not know this hotkey yet", REGISTER),
    ("HotKeyNotRegisteredInNetwork", "the hotkey is not registered on any subnet", REGISTER),
    ("HotKeyNotRegisteredInSubNet", "the hotkey is not registered on this subnet", REGISTER),
    (
        "AccountNotAllowedCommit",
        "the hotkey is not registered on this subnet, so it cannot commit there",
        REGISTER,
    ),
    ("InvalidIpType", "the address is neither IPv4 nor IPv6", ADDRESS),
    ("InvalidIpAddress", "the chain takes no such address", ADDRESS),
    ("InvalidPort", "the chain takes no such port", ADDRESS),
    (
        "ServingRateLimitExceeded",
        "the axon was published a short while ago, and may not be again so soon",
        "wait 50 blocks (10 minutes) and try again; `adit subnet show` has the limit",
    ),
    (
        "TooManyFieldsInCommitmentInfo",
        "the commitment has more fields than this chain takes",
        "commit one field",
    ),
    (
        "SpaceLimitExceeded",
        "the hotkey has committed as much as it may in this epoch (3,100 bytes)",
        "an epoch has 72 minutes: wait for the next one",
    ),
    (
        "CommitmentSetRateLimitExceeded",
        "the hotkey has committed a short while ago, and may not again so soon",
        "wait 100 blocks (20 minutes) and try again",
    ),
    ("UnexpectedUnreserveLeftover", "the deposit of the commitment before could not be given back", WAIT),
    ("TxRateLimitExceeded", "this key has sent such a transaction a short while ago", WAIT),
    ("NetworkTxRateLimitExceeded", "this key has sent such a transaction a short while ago", WAIT),
    ("AmountTooLow", "the amount is below the least that the chain takes", "name a larger amount"),
    ("SubtokenDisabled", "the subnet's token has not been started yet", SHOW),
    ("InsufficientLiquidity", "the subnet's pool is too small for this amount", "name a smaller amount"),
    (
        "SlippageTooHigh",
        "the price would move more than allowed",
        "name a smaller amount, or try again later",
    ),
    ("LiquidityRestrictions", "the coldkey's balance is locked", FUND),
    ("ExistentialDeposit", "what is left would be below the least that an account holds (500 rao)", FUND),
    ("Expendability", "this would close the account", FUND),
    ("CallDisabled", "the chain has turned this call off for now", WAIT),
    ("DisabledTemporarily", "the chain has turned this call off for now", WAIT),
    (
        "Deprecated",
        "the chain does not take this call any more",
        "a newer version of Adit may know the call that took its place",
    ),
    (
        "AdminActionProhibitedDuringWeightsWindow",
        "not allowed in the blocks before an epoch ends",
        "try again in a few minutes",
    ),
    (
        "ColdkeySwapAnnounced",
        "the coldkey is about to be swapped, and sends nothing until then",
        "finish or cancel the swap first",
    ),
    (
        "ColdkeySwapDisputed",
        "the swap of this coldkey is disputed, and it sends nothing until that is settled",
        "settle the dispute first",
    ),
];

/// `Custom error: N` of runtimes that refuse before a block.
const CUSTOM: &[(u8, &str, &str)] = &[
    (1, "the stake is too low", "name a larger amount"),
    (2, "the balance is too low", FUND),
    (3, "there is no such subnet on this chain", "is --netuid right, and --network the one you meant?"),
    (4, "the chain does not know this hotkey yet", REGISTER),
    (5, "not enough stake, or, with older runtimes, no more registrations in this interval", SHOW),
    (6, "too often: such a transaction was sent a short while ago", WAIT),
    (7, "the subnet's pool is too small for this amount", "name a smaller amount"),
    (8, "the price would move more than allowed", "name a smaller amount, or try again later"),
    (9, "transfers are not allowed", SHOW),
    (10, "the hotkey is not registered on this subnet", REGISTER),
    (11, "the chain takes no such address", ADDRESS),
    (
        12,
        "the axon was published a short while ago, and may not be again so soon",
        "wait 50 blocks (10 minutes) and try again",
    ),
    (13, "the chain takes no such port", ADDRESS),
    (255, "the runtime takes no such transaction", RARELY),
];

/// The texts with which a node refuses a transaction before it is in a block.
const POOL: &[(&str, &str, &str)] = &[
    ("outdated", "another transaction of this key came first, or this one came too late", "try again"),
    (
        "bad signature",
        "the signature does not fit this chain: its runtime has just changed, or the node is of another chain",
        "try again; then check --network",
    ),
    ("Inability to pay some fees", "the account cannot pay the fee", FUND),
    ("future", "a transaction of this key before this one is missing", "try again in a minute"),
    ("ancient", "the transaction came too late", "try again; is this host's clock right?"),
    ("exhaust the block limits", "the chain is busy", WAIT),
    (
        "Priority is too low",
        "another transaction of this key with the same nonce is waiting",
        "wait for the next block (12 s) and try again",
    ),
    ("Already imported", "this very transaction is waiting already", "wait for the next block (12 s)"),
    (
        "temporarily banned",
        "the node has just refused this very transaction",
        "try again in a minute, or name another node with --network",
    ),
];

impl Refused {
    /// A pallet's error by its name. Where we have no words for it, those of the runtime's authors.
    pub(crate) fn named(pallet: &str, error: &str, docs: &str) -> Self {
        let known = KNOWN.iter().find(|(name, ..)| *name == error);
        let (sentence, hint) = match known {
            Some((_, sentence, hint)) => ((*sentence).to_owned(), *hint),
            None if docs.is_empty() => ("the chain refuses".to_owned(), RARELY),
            None => (format!("the chain refuses: {}", docs.trim().trim_end_matches('.')), RARELY),
        };
        Self { name: format!("{pallet}.{error}"), sentence, hint }
    }

    /// What a node answered in place of taking the transaction: code, message and data.
    pub(crate) fn pool(code: i32, message: &str, data: Option<&str>) -> Self {
        let said = data.unwrap_or(message);
        let custom = said.strip_prefix("Custom error: ").and_then(|number| number.trim().parse::<u8>().ok());
        let words = match custom {
            Some(number) => CUSTOM
                .iter()
                .find(|(known, ..)| *known == number)
                .map(|(_, sentence, hint)| (*sentence, *hint)),
            None => POOL
                .iter()
                .find(|(part, ..)| said.contains(part) || message.contains(part))
                .map(|(_, sentence, hint)| (*sentence, *hint)),
        };
        let (sentence, hint) = words.unwrap_or(("the node does not take the transaction", RARELY));
        let name = data.map_or_else(String::new, |data| format!(": {data}"));
        Self { name: format!("{code} {message}{name}"), sentence: sentence.to_owned(), hint }
    }

    /// True where the refusal is of the nonce or of a runtime that has just changed.
    pub(crate) fn mended_by_a_fresh_signature(&self) -> bool {
        ["outdated", "bad signature", "Priority is too low"].iter().any(|part| self.name.contains(part))
    }

    /// An error of the runtime's core, outside any pallet.
    pub(crate) fn core(said: String) -> Self {
        let hint = if said.contains("Token") || said.contains("funds") { FUND } else { RARELY };
        Self { sentence: "the chain refuses".to_owned(), name: said, hint }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_a_sentence_and_a_hint() {
        let texts = ["Transaction is outdated", "Transaction has a bad signature", "Custom error: 12", "new"];
        let pool = texts.map(|text| Refused::pool(1010, "Invalid Transaction", Some(text)));
        let named = KNOWN.iter().map(|(name, ..)| Refused::named("SubtensorModule", name, ""));
        for refused in named.chain(pool).chain([Refused::named("X", "New", "Something else.")]) {
            assert!(!refused.sentence.is_empty() && !refused.hint.is_empty(), "{refused:?}");
            assert!(!refused.sentence.ends_with('.'), "{refused:?}");
        }
    }

    #[test]
    fn a_custom_error_is_told_by_its_number() {
        let refused = Refused::pool(1010, "Invalid Transaction", Some("Custom error: 13"));
        assert_eq!(refused.sentence, "the chain takes no such port");
        assert_eq!(refused.name, "1010 Invalid Transaction: Custom error: 13");
        assert_eq!(Refused::pool(1012, "Banned", None).name, "1012 Banned");
        // 1 is not the beginning of 13.
        assert_ne!(Refused::pool(1010, "", Some("Custom error: 1")).sentence, refused.sentence);
    }

    #[test]
    fn an_error_without_our_words_has_the_runtimes() {
        let refused =
            Refused::named("SubtensorModule", "NotRootSubnet", "A call was made on a non-root subnet.");
        assert_eq!(refused.sentence, "the chain refuses: A call was made on a non-root subnet");
    }
}
