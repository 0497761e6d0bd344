//! Which GPUs a worker may see.

use super::WorkerConfig;

/// Which GPUs workers see, as `CUDA_VISIBLE_DEVICES` tells CUDA.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Gpus {
    /// What this process sees.
    #[default]
    Inherited,
    /// None.
    Hidden,
    /// One each: worker `i` of them gets the `i`-th, and from the first on again where there are more workers.
    Each(Vec<String>),
}

/// Why a list of GPUs is none.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum GpusError {
    /// Something that names no GPU.
    #[error(
        "{0:?} names no GPU: write numbers or UUIDs as `nvidia-smi -L` lists them, with commas between, or none"
    )]
    NoGpu(String),
    /// One that is named again.
    #[error("GPU {0} is named twice: name it once, workers beyond the number of GPUs share them in turn")]
    Twice(String),
    /// GPUs that no worker would use.
    #[error(
        "{gpus} GPUs for {workers} workers: GPU {first} would have none; start more workers or name fewer GPUs"
    )]
    Idle {
        /// How many are named.
        gpus: usize,
        /// How many workers there are.
        workers: usize,
        /// The first that would be idle.
        first: String,
    },
}

impl Gpus {
    /// Reads `none`, or numbers and UUIDs with commas between. An empty text means [`Gpus::Inherited`].
    ///
    /// # Errors
    /// [`GpusError`] for what names no GPU, is named twice, or would be without one of `workers` workers.
    pub fn parse(text: &str, workers: usize) -> Result<Self, GpusError> {
        match text.trim() {
            "" => return Ok(Self::Inherited),
            "none" => return Ok(Self::Hidden),
            _ => {}
        }
        let mut gpus: Vec<String> = Vec::new();
        for id in text.split(',').map(str::trim) {
            if !is_number(id) && !is_uuid(id) {
                return Err(GpusError::NoGpu(id.to_owned()));
            }
            if gpus.iter().any(|other| other == id) {
                return Err(GpusError::Twice(id.to_owned()));
            }
            gpus.push(id.to_owned());
        }
        match gpus.get(workers) {
            Some(first) => Err(GpusError::Idle { gpus: gpus.len(), workers, first: first.clone() }),
            None => Ok(Self::Each(gpus)),
        }
    }

    /// What `CUDA_VISIBLE_DEVICES` is for a worker, unless it is what was inherited.
    pub(super) fn of(&self, worker: usize) -> Option<&str> {
        match self {
            Self::Inherited => None,
            Self::Hidden => Some(""),
            Self::Each(gpus) => gpus.get(worker.checked_rem(gpus.len())?).map(String::as_str),
        }
    }
}

impl WorkerConfig {
    /// The variables about GPUs that a worker gets besides.
    pub(super) fn gpu_variables(&self, worker: usize) -> impl Iterator<Item = (&'static str, &str)> {
        let visible = self.gpus.of(worker);
        // CUDA counts the fastest GPU first, unless it is told to count as nvidia-smi does.
        let order = visible.filter(|_| !self.environment.has("CUDA_DEVICE_ORDER")).map(|_| "PCI_BUS_ID");
        let variable = |name, value: Option<_>| value.map(|value| (name, value));
        variable("CUDA_VISIBLE_DEVICES", visible).into_iter().chain(variable("CUDA_DEVICE_ORDER", order))
    }
}

/// In the one way to write it, so that none is there twice.
fn is_number(id: &str) -> bool {
    id.parse::<u16>().is_ok_and(|number| number.to_string() == id)
}

fn is_uuid(id: &str) -> bool {
    let rest = id.strip_prefix("GPU-").or_else(|| id.strip_prefix("MIG-"));
    rest.is_some_and(|rest| {
        !rest.is_empty() && rest.chars().all(|c| c.is_ascii_alphanumeric() || "-/".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_take_turns() {
        let gpus = Gpus::parse("0, GPU-8f6d,MIG-1/2", 7).unwrap();
        let seen: Vec<_> = (0..5).map(|worker| gpus.of(worker).unwrap()).collect();
        assert_eq!(seen, ["0", "GPU-8f6d", "MIG-1/2", "0", "GPU-8f6d"]);
        assert_eq!(Gpus::parse("none", 1).unwrap().of(0), Some(""));
        assert_eq!(Gpus::parse(" ", 1).unwrap().of(0), None);
    }

    #[test]
    fn what_is_no_list_of_gpus_is_refused_with_a_reason() {
        for (text, reason) in [
            ("0,0", "GPU 0 is named twice"),
            ("0,GPU-1,GPU-1", "GPU GPU-1 is named twice"),
            ("0,1,2", "3 GPUs for 2 workers: GPU 2 would have none"),
            ("0,", "\"\" names no GPU"),
            ("0,none", "\"none\" names no GPU"),
            ("-1", "\"-1\" names no GPU"),
            ("00", "\"00\" names no GPU"),
            ("cuda:0", "\"cuda:0\" names no GPU"),
            ("GPU-", "\"GPU-\" names no GPU"),
        ] {
            let error = Gpus::parse(text, 2).unwrap_err().to_string();
            assert!(error.starts_with(reason), "{text}: {error}");
        }
    }

    #[test]
    fn gpus_are_counted_as_nvidia_smi_counts_unless_told_otherwise() {
        let mut config = WorkerConfig::new("model", "python3");
        config.environment = Default::default();
        config.gpus = Gpus::parse("1", 1).unwrap();
        let variables = |config: &WorkerConfig| {
            config.gpu_variables(0).map(|(_, value)| value.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(variables(&config), ["1", "PCI_BUS_ID"]);
        let own = [("CUDA_DEVICE_ORDER".into(), "FASTEST_FIRST".into())];
        config.environment = super::super::Environment::chosen_from(own, &[]);
        assert_eq!(variables(&config), ["1"]);
        config.gpus = Gpus::Inherited;
        assert!(variables(&config).is_empty());
    }
}
