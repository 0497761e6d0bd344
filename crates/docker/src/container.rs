//! Containers and the networks that they share.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use bollard::body_full;
use bollard::errors::Error;
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerSummaryStateEnum as State, ContainerUpdateBody,
    DeviceRequest, EndpointSettings, HostConfig, Mount, MountType, NetworkCreateRequest, NetworkingConfig,
    PortBinding, RestartPolicy, RestartPolicyNameEnum,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, DownloadFromContainerOptionsBuilder, ListContainersOptionsBuilder,
    LogsOptionsBuilder, RemoveContainerOptionsBuilder, StopContainerOptionsBuilder,
    UploadToContainerOptionsBuilder,
};

use crate::engine::next;
use crate::image::plain;
use crate::{Engine, EngineError};

/// How often it is looked whether a container has ended.
pub(crate) const LOOK: Duration = Duration::from_millis(200);
/// Most of a log that is read, in bytes.
const MOST_LOG: usize = 64 * 1024;

/// What a container gets, and nothing else: no variable, mount or capability that is not named here.
#[derive(Debug, Clone, Default)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Name or id of its image.
    pub image: String,
    /// Its command, in place of the image's.
    pub command: Option<Vec<String>>,
    /// Variables.
    pub env: Vec<(String, String)>,
    /// Labels.
    pub labels: Vec<(String, String)>,
    /// Published ports.
    pub ports: Vec<Port>,
    /// Volumes by name, and where they are mounted.
    pub volumes: Vec<(String, String)>,
    /// A network by name, with the container's other names on it.
    pub network: Option<(String, Vec<String>)>,
    /// What it may not do and use.
    pub hardening: Hardening,
    /// How many NVIDIA GPUs of the host: none, so many, or all.
    pub gpus: Gpus,
}

/// GPUs of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Gpus {
    /// None.
    #[default]
    None,
    /// One, as in a spot check.
    One,
    /// All that the host has.
    All,
}

/// A published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port {
    /// Address of the host; `None` is every one.
    pub address: Option<IpAddr>,
    /// Port of the host; 0 takes a free one.
    pub host: u16,
    /// Port within the container.
    pub container: u16,
}

/// Limits of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hardening {
    /// No capability, and no way to gain one.
    pub no_capabilities: bool,
    /// CPUs, where limited.
    pub cpus: Option<u32>,
    /// Memory in bytes, where limited.
    pub memory: Option<u64>,
}

/// How a container is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerState {
    /// Whether its process runs.
    pub running: bool,
    /// What the process ended with; 0 while it runs.
    pub exit_code: i64,
    /// Whether it ran out of memory.
    pub out_of_memory: bool,
    /// Id of its image.
    pub image: String,
    /// Its labels.
    pub labels: HashMap<String, String>,
}

/// A container among others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its id, 64 hex digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it has its ports, or may take them any time: it runs, is paused or is about to be started again.
    pub active: bool,
}

impl Container {
    fn body(&self) -> ContainerCreateBody {
        let key = |port: &Port| format!("{}/tcp", port.container);
        let binding = |port: &Port| {
            let host_ip = port.address.map(|address| address.to_string());
            Some(vec![PortBinding { host_ip, host_port: Some(port.host.to_string()) }])
        };
        let mount = |(source, target): &(String, String)| Mount {
            typ: Some(MountType::VOLUME),
            source: Some(source.clone()),
            target: Some(target.clone()),
            ..Mount::default()
        };
        let Hardening { no_capabilities, cpus, memory } = self.hardening;
        let gpus = |count| {
            let capabilities = Some(vec![vec!["gpu".to_owned()]]);
            Some(vec![DeviceRequest { count: Some(count), capabilities, ..DeviceRequest::default() }])
        };
        ContainerCreateBody {
            image: Some(self.image.clone()),
            cmd: self.command.clone(),
            env: Some(self.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
            labels: Some(self.labels.iter().cloned().collect()),
            exposed_ports: Some(self.ports.iter().map(key).collect()),
            host_config: Some(HostConfig {
                port_bindings: Some(self.ports.iter().map(|port| (key(port), binding(port))).collect()),
                mounts: Some(self.volumes.iter().map(mount).collect()),
                network_mode: self.network.as_ref().map(|(network, _)| network.clone()),
                cap_drop: no_capabilities.then(|| vec!["ALL".to_owned()]),
                security_opt: no_capabilities.then(|| vec!["no-new-privileges".to_owned()]),
                nano_cpus: cpus.map(|cpus| i64::from(cpus) * 1_000_000_000),
                memory: memory.and_then(|bytes| i64::try_from(bytes).ok()),
                device_requests: match self.gpus {
                    Gpus::None => None,
                    Gpus::One => gpus(1),
                    Gpus::All => gpus(-1),
                },
                ..HostConfig::default()
            }),
            networking_config: self.network.as_ref().map(|(network, aliases)| NetworkingConfig {
                endpoints_config: Some(HashMap::from([(
                    network.clone(),
                    EndpointSettings { aliases: Some(aliases.clone()), ..EndpointSettings::default() },
                )])),
            }),
            ..ContainerCreateBody::default()
        }
    }

    /// What the engine is sent, as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        // The models hold nothing that JSON has not.
        serde_json::to_string(&self.body()).unwrap_or_default()
    }
}

impl Engine {
    /// Makes a container and returns its id. It does not run yet.
    ///
    /// # Errors
    /// [`EngineError::Missing`] where there is no such image; others.
    pub async fn create(&self, container: &Container) -> Result<String, EngineError> {
        let options = CreateContainerOptionsBuilder::default().name(&container.name).build();
        let made = self.docker.create_container(Some(options), container.body()).await;
        made.map(|made| made.id).map_err(|error| EngineError::from_bollard("create the container", error))
    }

    /// Starts a container.
    ///
    /// # Errors
    /// [`EngineError::PortTaken`], others.
    pub async fn start(&self, id: &str, container: &Container) -> Result<(), EngineError> {
        let started = self.docker.start_container(id, None).await;
        started.map_err(|error| match EngineError::from_bollard("start the container", error) {
            EngineError::Other { message, .. } if is_port(&message) => {
                let told = |port: &&Port| message.contains(&format!(":{}", port.host));
                let port = container.ports.iter().find(told).or(container.ports.first());
                EngineError::PortTaken { port: port.map_or(0, |port| port.host), message }
            }
            other => other,
        })
    }

    /// Has a container started again when it ends or the host restarts, until it is stopped. False where this engine
    /// cannot do that to a container that is there, as Podman before 5.
    ///
    /// # Errors
    /// Where the engine fails.
    pub async fn keep_running(&self, id: &str) -> Result<bool, EngineError> {
        let policy =
            RestartPolicy { name: Some(RestartPolicyNameEnum::UNLESS_STOPPED), maximum_retry_count: None };
        let update = ContainerUpdateBody { restart_policy: Some(policy), ..ContainerUpdateBody::default() };
        match self.docker.update_container(id, update).await {
            Ok(()) => Ok(true),
            Err(Error::DockerResponseServerError { status_code: 404 | 405 | 501, .. }) => Ok(false),
            Err(error) => Err(EngineError::from_bollard("keep the container running", error)),
        }
    }

    /// How a container is; `None` where there is none of that name or id.
    ///
    /// # Errors
    /// Where the engine cannot tell.
    pub async fn container(&self, id: &str) -> Result<Option<ContainerState>, EngineError> {
        match self.docker.inspect_container(id, None).await {
            Ok(found) => Ok(Some(state(found))),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(EngineError::from_bollard("look at the container", error)),
        }
    }

    /// The value of one variable of a container; `None` where it has none of that name. The others may be
    /// secrets, so a [`ContainerState`] has none of them.
    ///
    /// # Errors
    /// [`EngineError::Missing`] where there is no such container; others.
    pub async fn variable(&self, id: &str, name: &str) -> Result<Option<String>, EngineError> {
        let found = self.docker.inspect_container(id, None).await;
        let found = found.map_err(|error| EngineError::from_bollard("look at the container", error))?;
        let variables = found.config.and_then(|config| config.env).unwrap_or_default();
        Ok(variables.iter().find_map(|pair| Some(pair.strip_prefix(name)?.strip_prefix('=')?.to_owned())))
    }

    /// Containers that have a label with this value, ended ones too.
    ///
    /// # Errors
    /// Where the engine cannot tell.
    pub async fn containers(&self, label: &str, value: &str) -> Result<Vec<Found>, EngineError> {
        let filters = HashMap::from([("label", vec![format!("{label}={value}")])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let listed = self.docker.list_containers(Some(options)).await;
        let listed = listed.map_err(|error| EngineError::from_bollard("list the containers", error))?;
        let found = listed.into_iter().map(|one| Found {
            id: one.id.unwrap_or_default(),
            name: one
                .names
                .and_then(|names| Some(names.first()?.trim_start_matches('/').to_owned()))
                .unwrap_or_default(),
            active: matches!(one.state, Some(State::RUNNING | State::PAUSED | State::RESTARTING)),
        });
        Ok(found.collect())
    }

    /// The last lines of what a container wrote, at most `lines` of them and 64 KiB, without control characters.
    ///
    /// # Errors
    /// Where there is no such container.
    pub async fn logs(&self, id: &str, lines: usize) -> Result<String, EngineError> {
        let options =
            LogsOptionsBuilder::default().stdout(true).stderr(true).tail(&lines.to_string()).build();
        let mut parts = std::pin::pin!(self.docker.logs(id, Some(options)));
        let mut text = String::new();
        while let Some(part) = next(&mut parts, "read the container's log").await? {
            if text.len() > MOST_LOG {
                text.push_str(" …");
                break;
            }
            text.push_str(
                &part
                    .map_err(|error| EngineError::from_bollard("read the container's log", error))?
                    .to_string(),
            );
        }
        Ok(text.lines().map(plain).collect::<Vec<_>>().join("\n"))
    }

    /// What a container that has ended wrote on stdout.
    ///
    /// # Errors
    /// Where there is no such container, or it wrote more than `most` bytes.
    pub async fn stdout(&self, id: &str, most: usize) -> Result<Vec<u8>, EngineError> {
        const DOING: &str = "read the container's output";
        let options = LogsOptionsBuilder::default().stdout(true).build();
        let mut parts = std::pin::pin!(self.docker.logs(id, Some(options)));
        let mut output = Vec::new();
        while let Some(part) = next(&mut parts, DOING).await? {
            let part = part.map_err(|error| EngineError::from_bollard(DOING, error))?;
            output.extend_from_slice(&part.into_bytes());
            if output.len() > most {
                let message = format!("it is longer than {most} bytes");
                return Err(EngineError::Other { doing: DOING, message });
            }
        }
        Ok(output)
    }

    /// Waits for a container to end; its exit code. By looking, since engines differ in when they answer a request
    /// that waits.
    ///
    /// # Errors
    /// Where there is no such container.
    pub async fn wait(&self, id: &str) -> Result<i64, EngineError> {
        loop {
            match self.container(id).await? {
                Some(state) if state.running => tokio::time::sleep(LOOK).await,
                Some(state) => return Ok(state.exit_code),
                None => {
                    let message = "somebody removed it".to_owned();
                    return Err(EngineError::Missing { doing: "wait for the container", message });
                }
            }
        }
    }

    /// Ends a container: asked to for `grace` seconds, then killed. One that does not run is fine.
    ///
    /// # Errors
    /// Where the engine cannot do it.
    pub async fn stop(&self, id: &str, grace: u16) -> Result<(), EngineError> {
        let options = StopContainerOptionsBuilder::default().t(i32::from(grace)).build();
        match self.docker.stop_container(id, Some(options)).await {
            Ok(()) | Err(Error::DockerResponseServerError { status_code: 304 | 404, .. }) => Ok(()),
            Err(error) => Err(EngineError::from_bollard("stop the container", error)),
        }
    }

    /// Removes a container, which is killed first where it runs. One that is not there is fine.
    ///
    /// # Errors
    /// Where the engine cannot do it.
    pub async fn remove(&self, id: &str) -> Result<(), EngineError> {
        let options = RemoveContainerOptionsBuilder::default().force(true).build();
        match self.docker.remove_container(id, Some(options)).await {
            Ok(()) | Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
            // Somebody else removes it already; its name is free when that has ended.
            Err(Error::DockerResponseServerError { status_code: 409, .. }) => self.gone(id).await,
            Err(error) => Err(EngineError::from_bollard("remove the container", error)),
        }
    }

    /// Waits until there is no such container.
    async fn gone(&self, id: &str) -> Result<(), EngineError> {
        for _ in 0..50 {
            if self.container(id).await?.is_none() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(EngineError::Timeout { doing: "remove the container" })
    }

    /// Gives a container another name.
    ///
    /// # Errors
    /// Where the name is taken, or there is no such container.
    pub async fn rename(&self, id: &str, name: &str) -> Result<(), EngineError> {
        let options = bollard::query_parameters::RenameContainerOptionsBuilder::default().name(name).build();
        let renamed = self.docker.rename_container(id, options).await;
        renamed.map_err(|error| EngineError::from_bollard("rename the container", error))
    }

    /// Unpacks a tar archive in a directory of a container, which need not run.
    ///
    /// # Errors
    /// Where there is no such container or directory.
    pub async fn upload(&self, id: &str, directory: &str, tar: Vec<u8>) -> Result<(), EngineError> {
        let options = UploadToContainerOptionsBuilder::default().path(directory).build();
        let sent = self.docker.upload_to_container(id, Some(options), body_full(tar.into())).await;
        sent.map_err(|error| EngineError::from_bollard("copy files into the container", error))
    }

    /// One file of a container, which need not run; `None` where there is no such file.
    ///
    /// # Errors
    /// Where it is larger than `most` bytes, or no file.
    pub async fn download(&self, id: &str, path: &str, most: usize) -> Result<Option<Vec<u8>>, EngineError> {
        const DOING: &str = "copy a file out of the container";
        let other = |message: String| EngineError::Other { doing: DOING, message };
        let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
        let mut parts = std::pin::pin!(self.docker.download_from_container(id, Some(options)));
        let mut tar = Vec::new();
        while let Some(part) = next(&mut parts, DOING).await? {
            match part {
                Ok(part) => tar.extend_from_slice(&part),
                Err(Error::DockerResponseServerError { status_code: 404, .. }) => return Ok(None),
                Err(error) => return Err(EngineError::from_bollard(DOING, error)),
            }
            // A header and padding come on top of the file.
            if tar.len() > most.saturating_add(64 * 1024) {
                return Err(other(format!("{path} is larger than {most} bytes")));
            }
        }
        let mut archive = tar::Archive::new(tar.as_slice());
        let mut entries = archive.entries().map_err(|error| other(error.to_string()))?;
        let Some(Ok(mut entry)) = entries
            .next()
            .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.header().entry_type().is_file()))
        else {
            return Err(other(format!("{path} is no file")));
        };
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).map_err(|error| other(error.to_string()))?;
        Ok(Some(content))
    }

    /// Makes a network whose containers reach one another and nothing else.
    ///
    /// # Errors
    /// Where the engine cannot do it.
    pub async fn create_internal_network(
        &self,
        name: &str,
        labels: &[(String, String)],
    ) -> Result<(), EngineError> {
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            internal: Some(true),
            labels: Some(labels.iter().cloned().collect()),
            ..NetworkCreateRequest::default()
        };
        let made = self.docker.create_network(request).await;
        made.map(drop).map_err(|error| EngineError::from_bollard("create the network", error))
    }

    /// Removes a network. One that is not there is fine.
    ///
    /// # Errors
    /// Where a container is still on it.
    pub async fn remove_network(&self, name: &str) -> Result<(), EngineError> {
        match self.docker.remove_network(name).await {
            Ok(()) | Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
            Err(error) => Err(EngineError::from_bollard("remove the network", error)),
        }
    }
}

fn is_port(message: &str) -> bool {
    ["port is already allocated", "address already in use", "ports are not available"]
        .iter()
        .any(|words| message.contains(words))
}

fn state(found: ContainerInspectResponse) -> ContainerState {
    let state = found.state.unwrap_or_default();
    ContainerState {
        running: state.running.unwrap_or_default(),
        exit_code: state.exit_code.unwrap_or_default(),
        out_of_memory: state.oom_killed.unwrap_or_default(),
        image: found.image.unwrap_or_default(),
        labels: found.config.and_then(|config| config.labels).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_gets_what_is_named_and_nothing_else() {
        let container = Container {
            name: "m".into(),
            image: "me/x:v1".into(),
            env: vec![("A".into(), "b c".into())],
            ports: vec![Port { address: None, host: 9000, container: 8000 }],
            volumes: vec![("data".into(), "/var/lib/adit".into())],
            hardening: Hardening { no_capabilities: true, cpus: Some(14), memory: Some(180 << 30) },
            ..Container::default()
        };
        let body: serde_json::Value = serde_json::from_str(&container.to_json()).unwrap();
        assert_eq!(body["Env"], serde_json::json!(["A=b c"]));
        assert_eq!(body["HostConfig"]["PortBindings"]["8000/tcp"][0]["HostPort"], "9000");
        assert_eq!(body["HostConfig"]["CapDrop"], serde_json::json!(["ALL"]));
        assert_eq!(body["HostConfig"]["NanoCpus"], 14_000_000_000_u64);
        assert_eq!(body["HostConfig"]["Mounts"][0]["Source"], "data");
        assert!(body["HostConfig"]["Binds"].is_null() && body["Cmd"].is_null());
    }
}
