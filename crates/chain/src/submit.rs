//! Signing a call, sending it, and waiting until a finalized block has it and it succeeded there.
//!
//! Transactions are mortal: one that no block took is void after 128 blocks and can be sent again. An
//! account's transactions take turns until they are finalized, so that two never take the same nonce;
//! where another process took it first, or the runtime changed in between, the call is signed afresh.

use std::time::Duration;

use adit_keys::{Hotkey, Keypair};
use subxt::PolkadotConfig;
use subxt::config::{DefaultExtrinsicParams, DefaultExtrinsicParamsBuilder};
use subxt::error::{
    BackendError, DispatchError, ExtrinsicError, RpcError, TransactionEventsError, TransactionProgressError,
};
use subxt::ext::codec::Encode as _;
use subxt::ext::scale_decode::DecodeAsType;
use subxt::tx::{
    DynamicPayload, SignableTransaction, Signer, TransactionInBlock, TransactionProgress, TransactionStatus,
};
use subxt::utils::{AccountId32, H256, MultiSignature};
use tokio::time::{Instant, timeout_at};

use crate::error::At as _;
use crate::head::Head;
use crate::runtime::malformed;
use crate::{Call, Chain, ChainError, Rao, Refused};

/// Blocks for which a transaction holds, as the SDK has it.
const MORTAL_BLOCKS: u64 = 128;
/// How often a call is signed afresh after a refusal that a fresh signature mends.
const FRESH_TRIES: u32 = 3;
/// Pause before it.
const FRESH_PAUSE: Duration = Duration::from_millis(500);
/// Wait for a finalized block that has the transaction. Finality takes half a minute.
pub const FINALITY: Duration = Duration::from_secs(180);

type AtBlock = subxt::client::OnlineClientAtBlockImpl<PolkadotConfig>;
pub(crate) type Payload = DynamicPayload<subxt::ext::scale_value::Composite<()>>;
pub(crate) type Signable<'a> = SignableTransaction<'a, PolkadotConfig, AtBlock, Payload>;

/// What would be signed and what it would cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DryRun {
    /// The call, as a person reads it.
    pub call: String,
    /// The call's bytes.
    pub call_data: Vec<u8>,
    /// Who would sign.
    pub signer: Hotkey,
    /// The fee; beside it `burned_register` takes the price of the registration.
    pub fee: Rao,
    /// The nonce that it would take.
    pub nonce: u64,
    /// The last block that could take it.
    pub valid_until: u64,
    /// Version of the runtime that would run it.
    pub spec_version: u32,
}

/// A transaction that succeeded in a finalized block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Included {
    /// Number of the block.
    pub block: u64,
    /// Hash of the block, `0x` and 64 digits.
    pub block_hash: String,
    /// Hash of the transaction, `0x` and 64 digits.
    pub hash: String,
}

/// Why a transaction did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The chain could not be asked. Nothing was sent.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The chain says no.
    #[error("{0}")]
    Refused(Refused),
    /// It left the pool without a block.
    #[error("no block took the transaction {hash}: {reason}")]
    Dropped {
        /// The transaction.
        hash: String,
        /// What the node says.
        reason: String,
    },
    /// It was sent, and what became of it is not known.
    #[error("the transaction {hash} was sent, but what became of it is unknown: {reason}")]
    Unknown {
        /// The transaction.
        hash: String,
        /// What happened.
        reason: String,
    },
}

impl SubmitError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Chain(error) => error.hint(),
            Self::Refused(refused) => Some(refused.hint),
            Self::Dropped { .. } => Some("try again; no fee was taken"),
            Self::Unknown { .. } => {
                Some("look first whether it is done before you send it again: `adit subnet show`")
            }
        }
    }
}

struct Signing<'a>(&'a Keypair);

impl Signer<PolkadotConfig> for Signing<'_> {
    fn account_id(&self) -> AccountId32 {
        AccountId32(*self.0.hotkey().as_bytes())
    }

    fn sign(&self, payload: &[u8]) -> MultiSignature {
        MultiSignature::Sr25519(self.0.sign(payload).to_bytes())
    }
}

/// A call that subxt can sign.
fn payload(call: &Call) -> Payload {
    subxt::tx::dynamic(call.pallet, call.name, call.arguments())
}

impl Head {
    /// The nonce of an account's next transaction, those that wait in the node's pool counted.
    async fn next_nonce(&self, account: &Hotkey) -> Result<u64, ChainError> {
        let account = AccountId32(*account.as_bytes());
        self.connection.rpc.system_account_next_index(&account).await.at(&self.connection.node)
    }

    /// A call for this block's runtime, not yet signed, that is void 128 blocks after the block `birth`.
    pub(crate) fn mortal<'a>(
        &self,
        payload: &'a Payload,
        nonce: u64,
        birth: (u64, H256),
    ) -> Result<Signable<'a>, ChainError> {
        let params = DefaultExtrinsicParamsBuilder::new();
        let params = params.nonce(nonce).mortal_from_unchecked(MORTAL_BLOCKS, birth.0, birth.1);
        self.signable(payload, params.build())
    }

    pub(crate) fn signable<'a>(
        &self,
        payload: &'a Payload,
        params: DefaultExtrinsicParams<PolkadotConfig>,
    ) -> Result<Signable<'a>, ChainError> {
        let signable = self.at.tx().create_signable_offline(payload, params);
        signable.map_err(|error| malformed(payload.call_name(), error))
    }

    /// What a call would cost its signer. Needs no secret: a fee does not depend on the signature.
    async fn dry_run(&self, call: &Call, signer: &Hotkey) -> Result<DryRun, ChainError> {
        #[derive(DecodeAsType)]
        #[decode_as_type(crate_path = "subxt::ext::scale_decode")]
        struct Info {
            partial_fee: u64,
        }
        let call_data = self.runtime().call_data(call)?;
        let nonce = self.next_nonce(signer).await?;
        let payload = payload(call);
        let unsigned = self
            .mortal(&payload, nonce, (self.number(), self.hash()))?
            .sign_with_account_and_signature(
                &AccountId32(*signer.as_bytes()),
                &MultiSignature::Sr25519([1; 64]),
            )
            .map_err(|error| malformed(call.name, error))?;
        let mut arguments = unsigned.into_encoded();
        let length = u32::try_from(arguments.len()).unwrap_or(u32::MAX);
        length.encode_to(&mut arguments);
        let (api, method) = ("TransactionPaymentApi", "query_info");
        let answer = self.call(&format!("{api}_{method}"), &arguments).await?;
        let info = self
            .runtime()
            .api_answer::<Info>(api, method, &answer)
            .ok_or_else(|| ChainError::NotInRuntime(format!("API {api}.{method}")))??;
        Ok(DryRun {
            call: call.to_string(),
            call_data,
            signer: *signer,
            fee: Rao(info.partial_fee),
            nonce,
            valid_until: self.number() + MORTAL_BLOCKS - 1,
            spec_version: self.spec_version(),
        })
    }
}

impl Chain {
    /// What a call would be and cost, without a signature and without sending anything.
    ///
    /// # Errors
    /// Where the chain cannot be asked, or its runtime has no such call.
    pub async fn dry_run(&self, call: &Call, signer: &Hotkey) -> Result<DryRun, ChainError> {
        self.read(|head| async move { head.dry_run(call, signer).await }).await
    }

    /// Signs and sends a call and waits for at most `within` until a finalized block has it.
    ///
    /// # Errors
    /// [`SubmitError`] tells what certainly did not happen from what is unknown.
    pub async fn submit(
        &self,
        call: &Call,
        signer: &Keypair,
        within: Duration,
    ) -> Result<Included, SubmitError> {
        let turn = self.turn(&signer.hotkey()).await;
        let _turn = turn.lock().await;
        let deadline = Instant::now() + within;
        let progress = self.send(call, signer, deadline).await?;
        let hash = format!("{:?}", progress.extrinsic_hash());
        let unknown = |reason: String| SubmitError::Unknown { hash: hash.clone(), reason };
        let in_block = match timeout_at(deadline, finalized(progress, &hash)).await {
            Ok(in_block) => in_block?,
            Err(_) => return Err(unknown(format!("not finalized within {} s", within.as_secs()))),
        };
        let block = match timeout_at(deadline, in_block.at()).await {
            Ok(Ok(at)) => at.block_number(),
            Ok(Err(error)) => return Err(unknown(error.to_string())),
            Err(_) => return Err(unknown("its block cannot be read".into())),
        };
        match timeout_at(deadline, in_block.wait_for_success()).await {
            Ok(Ok(_)) => {}
            Ok(Err(TransactionEventsError::ExtrinsicFailed(error))) => {
                return Err(SubmitError::Refused(dispatch(&error)));
            }
            Ok(Err(error)) => return Err(unknown(error.to_string())),
            Err(_) => return Err(unknown("its block cannot be read".into())),
        }
        Ok(Included { block, block_hash: format!("{:?}", in_block.block_hash()), hash })
    }

    /// Gives the call to a node's pool.
    async fn send(
        &self,
        call: &Call,
        signer: &Keypair,
        deadline: Instant,
    ) -> Result<TransactionProgress<PolkadotConfig, AtBlock>, SubmitError> {
        let account = signer.hotkey();
        let payload = payload(call);
        for fresh in 1.. {
            // The pool judges by the runtime of the newest block. Finality is some blocks behind it, and
            // just after an upgrade the finalized block still has the runtime before.
            let (head, newest, nonce) = self
                .read(|head| async move {
                    let (newest, nonce) = (head.best().await?, head.next_nonce(&account).await?);
                    Ok((head, newest, nonce))
                })
                .await?;
            newest.runtime().call_data(call)?;
            let signed = newest
                .mortal(&payload, nonce, (head.number(), head.hash()))?
                .sign(&Signing(signer))
                .map_err(|error| malformed(call.name, error))?;
            let error = match timeout_at(deadline, signed.submit_and_watch()).await {
                Ok(Ok(progress)) => return Ok(progress),
                Ok(Err(error)) => error,
                Err(_) => {
                    let reason = "the node did not say that it took it".into();
                    return Err(SubmitError::Unknown { hash: format!("{:?}", signed.hash()), reason });
                }
            };
            let ExtrinsicError::ErrorSubmittingTransaction(BackendError::Rpc(RpcError::ClientError(
                subxt::rpcs::Error::User(said),
            ))) = &error
            else {
                self.forget(&head.connection).await;
                let reason = format!("{}: {}", head.node(), crate::error::innermost(&error));
                return Err(SubmitError::Unknown { hash: format!("{:?}", signed.hash()), reason });
            };
            let data = said.data.as_ref().map(|data| data.get().trim_matches('"').to_owned());
            let refused = Refused::pool(said.code, &said.message, data.as_deref());
            if fresh >= FRESH_TRIES || !refused.mended_by_a_fresh_signature() {
                return Err(SubmitError::Refused(refused));
            }
            tracing::debug!("signing afresh: {refused}");
            tokio::time::sleep(FRESH_PAUSE).await;
        }
        unreachable!("the loop ends by a return")
    }
}

/// Waits for the finalized block.
async fn finalized(
    mut progress: TransactionProgress<PolkadotConfig, AtBlock>,
    hash: &str,
) -> Result<TransactionInBlock<PolkadotConfig, AtBlock>, SubmitError> {
    let unknown = |reason: String| SubmitError::Unknown { hash: hash.to_owned(), reason };
    let mut in_block = false;
    while let Some(status) = progress.next().await {
        match status {
            Ok(TransactionStatus::InFinalizedBlock(block)) => return Ok(block),
            Ok(TransactionStatus::InBestBlock(block)) => {
                tracing::info!("in block {:?}, not finalized yet", block.block_hash());
                in_block = true;
            }
            Ok(
                TransactionStatus::Error { message }
                | TransactionStatus::Invalid { message }
                | TransactionStatus::Dropped { message },
            ) if in_block => {
                // Its block may be finalized all the same: the node has only stopped looking.
                return Err(unknown(format!("a block has it, but finality was not seen: {message}")));
            }
            Ok(
                TransactionStatus::Error { message }
                | TransactionStatus::Invalid { message }
                | TransactionStatus::Dropped { message },
            ) => return Err(SubmitError::Dropped { hash: hash.to_owned(), reason: message }),
            Ok(_) => {}
            Err(TransactionProgressError::CannotGetNextProgressUpdate(error)) => {
                return Err(unknown(error.to_string()));
            }
            Err(error) => return Err(unknown(error.to_string())),
        }
    }
    Err(unknown("the node ended its report".into()))
}

pub(crate) fn dispatch(error: &DispatchError) -> Refused {
    match error {
        DispatchError::Module(module) => match module.details() {
            Ok(found) => {
                Refused::named(found.pallet.name(), &found.variant.name, &found.variant.docs.join(" "))
            }
            Err(_) => Refused::core(module.to_string()),
        },
        other => Refused::core(other.to_string()),
    }
}
