//! Keeping a server's stake table fresh, from the chain or from a file, beside the serving. The last good table
//! stays in force where no newer one can be had. An [`Observer`] sees each metagraph that is read for it.

use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use adit_auth::StakesInForce;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::stake_file::{self, StakeFileError};
use crate::{Chain, ChainError, Endpoints, Limits, Netuid, Observer, StakeCopyError, Stakes};

/// How often a file is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// A connection that brings no block for this long is dead; one comes every 12 s.
const QUIET: Duration = Duration::from_secs(120);
/// Pause after a failed refresh; each further one doubles it.
const PAUSE: Duration = Duration::from_secs(2);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The follower takes what serving leaves: decoding a metagraph must not delay a challenge.
const NICE: i32 = 10;

/// For a refresh in the background, which has its own way of trying again.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(10),
    answer: Duration::from_secs(30),
    rounds: 1,
    pause: Duration::ZERO,
};

/// Where the stakes come from.
#[derive(Debug, Clone)]
pub enum StakeSource {
    /// A file, read again when it changes.
    File(PathBuf),
    /// The chain.
    Chain(ChainStakes),
}

/// How the chain is asked for stakes.
#[derive(Debug, Clone)]
pub struct ChainStakes {
    /// Whom to ask.
    pub endpoints: Endpoints,
    /// The subnet.
    pub netuid: Netuid,
    /// How often.
    pub refresh: Duration,
    /// Where the last good stakes are kept for a start without a chain.
    pub copy: Option<PathBuf>,
}

impl StakeSource {
    /// In a word: `file` or `chain`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Chain(_) => "chain",
        }
    }
}

/// Why stakes cannot be followed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// The file.
    #[error(transparent)]
    File(#[from] StakeFileError),
    /// The system gives no thread.
    #[error("the stakes are not followed: {0}")]
    NoThread(std::io::Error),
}

/// Keeps a table fresh until it is dropped.
#[derive(Debug)]
pub struct Follower {
    /// Both are taken when it is dropped.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    /// Puts the table in place that is at hand, and follows its source on a thread of its own. The observer has nothing to
    /// see where the source is a file.
    ///
    /// # Errors
    /// Where a file cannot be read; the chain is asked in the background.
    pub fn start(
        stakes: StakesInForce,
        source: StakeSource,
        observer: Option<Observer>,
    ) -> Result<Self, FollowError> {
        match source {
            StakeSource::File(file) => {
                stakes.set(stake_file::read(&file)?);
                Self::spawn(follow_file(stakes, file))
            }
            StakeSource::Chain(chain) => {
                use_copy(&stakes, &chain);
                Self::spawn(follow_chain(Some(stakes), chain, observer))
            }
        }
    }

    /// Follows the chain for the observer alone: where no caller is judged by its stake.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn observe(chain: ChainStakes, observer: Observer) -> Result<Self, FollowError> {
        Self::spawn(follow_chain(None, chain, Some(observer)))
    }

    fn spawn(follow: impl Future<Output = ()> + Send + 'static) -> Result<Self, FollowError> {
        let (stop, stopped) = oneshot::channel::<()>();
        let work = move || {
            let own = rustix::process::setpriority_process(None, NICE);
            if let Err(error) = own {
                tracing::debug!("following the stakes at the usual priority: {error}");
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => {
                    runtime.block_on(async {
                        tokio::select! {
                            _ = stopped => {}
                            () = follow => {}
                        }
                    });
                    // A name that is being resolved holds nobody up.
                    runtime.shutdown_background();
                }
                Err(error) => tracing::error!("the stakes are not followed: {error}"),
            }
        };
        let thread = std::thread::Builder::new().name("stakes".into()).spawn(work);
        Ok(Self { stop: Some(stop), thread: Some(thread.map_err(FollowError::NoThread)?) })
    }
}

impl Drop for Follower {
    /// Returns when the thread holds nothing any more: the observer's journal is written when its last handle is dropped.
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("following the stakes came to an end by an error in this program");
        }
    }
}

async fn follow_file(in_force: StakesInForce, file: PathBuf) {
    // What the table in force was read from: the file may have changed since.
    let mut read_at = in_force.get().map(|table| table.as_of());
    let mut ticks = tokio::time::interval(LOOK);
    loop {
        ticks.tick().await;
        let changed = stake_file::modified(&file).ok();
        if changed == read_at {
            continue;
        }
        read_at = changed;
        match stake_file::read(&file) {
            Ok(table) => {
                tracing::info!(hotkeys = table.len(), "stake table read again");
                in_force.set(table);
            }
            Err(error) => tracing::warn!("keeping the last good stake table: {error}"),
        }
    }
}

fn use_copy(in_force: &StakesInForce, source: &ChainStakes) {
    tracing::info!("Stakes: of subnet {}, from the chain ({})", source.netuid, source.endpoints);
    let Some(copy) = &source.copy else { return };
    match Stakes::read_copy(copy, &source.endpoints.to_string(), source.netuid) {
        Ok(stakes) => {
            let table = stakes.table();
            let age = table.age(SystemTime::now()).as_secs();
            tracing::info!(
                hotkeys = table.len(),
                age,
                "stake table read from its copy, until the chain answers"
            );
            in_force.set(table);
        }
        Err(StakeCopyError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!("not used: {error}"),
    }
}

async fn follow_chain(in_force: Option<StakesInForce>, source: ChainStakes, mut observer: Option<Observer>) {
    let chain = Chain::new(source.endpoints.clone(), LIMITS);
    let mut pause = PAUSE;
    loop {
        let ended = session(in_force.as_ref(), &chain, &source, observer.as_mut(), &mut pause).await;
        let error = match ended {
            Ok(never) => match never {},
            Err(error) => error,
        };
        let again = pause.as_secs();
        match in_force.as_ref().map(StakesInForce::get) {
            Some(Some(table)) => {
                let age = table.age(SystemTime::now()).as_secs();
                tracing::warn!("keeping the stakes of {age} s ago, asking again in {again} s: {error}");
            }
            Some(None) => tracing::warn!("there are no stakes yet, asking again in {again} s: {error}"),
            None => tracing::info!(
                "the miner's place on chain is not recorded, asking again in {again} s: {error}"
            ),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Reads the stakes again and again over one connection, until it fails or brings no more blocks.
async fn session(
    in_force: Option<&StakesInForce>,
    chain: &Chain,
    source: &ChainStakes,
    mut observer: Option<&mut Observer>,
    pause: &mut Duration,
) -> Result<std::convert::Infallible, ChainError> {
    let mut heads = chain.heads().await?;
    loop {
        let due = Instant::now() + source.refresh;
        let netuid = source.netuid;
        let (metagraph, as_of) =
            chain.read(|head| async move { tokio::try_join!(head.metagraph(netuid), head.time()) }).await?;
        if let Some(in_force) = in_force {
            use_stakes(in_force, source, &Stakes::of(&metagraph, as_of));
        }
        *pause = PAUSE;
        if let Some(observer) = &mut observer {
            observer.observe(chain, &metagraph, as_of).await;
        }
        while let Ok(block) = timeout_at(due, heads.next(QUIET)).await {
            block?;
        }
    }
}

fn use_stakes(in_force: &StakesInForce, source: &ChainStakes, stakes: &Stakes) {
    let table = stakes.table();
    let age = table.age(SystemTime::now()).as_secs();
    tracing::info!(hotkeys = table.len(), block = stakes.block, age, "stake table read from the chain");
    in_force.set(table);
    if let Some(copy) = &source.copy
        && let Err(error) = stakes.write_copy(copy, &source.endpoints.to_string())
    {
        tracing::warn!(
            "the stakes are not kept for a start without the chain: {error}; ADIT_DATA_DIR names another place"
        );
    }
}
