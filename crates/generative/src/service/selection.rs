//! Which services the operator has configured, and which of them make pictures and videos.

use std::time::SystemTime;

use adit_outbound::{AddressGuard, AllowListError, Client, FetchError};
use adit_settings::{Environment, SettingError, Var, var};
use http::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::{Map, Value, json};
use url::Url;

use super::plan::PlanError;
use super::{Flaw, Model, Provider, Service};
use crate::{Modality, Usd};

/// Every service that has a key, and the one that is chosen for each modality.
#[derive(Debug, Clone)]
pub struct Services {
    /// In the order of [`Provider::ALL`].
    with_key: Vec<Service>,
    image: Slot,
    video: Slot,
    /// Neither modality was configured.
    automatic: bool,
}

/// What is chosen for a modality.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slot {
    /// Nothing, as the operator wants it: requests are refused.
    Off,
    /// This one.
    Ready(Provider),
    /// What is configured cannot be used: requests are refused.
    Unusable(Unusable),
}

/// Why a service that is configured cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// No such service.
    #[error("`{variable}={value}` is no service; write openai, openrouter, stabilityai, runway or none")]
    Unknown {
        /// The variable.
        variable: &'static str,
        /// What it says.
        value: String,
    },
    /// It has no key.
    #[error("`{variable}={}` needs `{key}`, which is not set", .provider.name())]
    NoKey {
        /// The variable.
        variable: &'static str,
        /// The service.
        provider: Provider,
        /// The variable that has its key.
        key: &'static str,
    },
    /// Its key cannot be sent.
    #[error("`{key}` has characters that no key has: was it copied whole, and only it?")]
    BadKey {
        /// The variable that has the key.
        key: &'static str,
    },
    /// It does not make this.
    #[error("`{variable}={}`: {provider} makes no {modality}; {instead} does", .provider.name(), instead = .instead.name())]
    Modality {
        /// The variable.
        variable: &'static str,
        /// The service.
        provider: Provider,
        /// What it does not make.
        modality: Modality,
        /// One that does.
        instead: Provider,
    },
    /// Its model is not to be used.
    #[error("{0}")]
    Flawed(Flaw),
    /// Its model is none.
    #[error("`{variable}`: {source}")]
    Model {
        /// The variable that names the model.
        variable: &'static str,
        /// What is wrong.
        source: PlanError,
    },
    /// Nothing is configured, and no service that makes this has a key.
    #[error("no service that makes {modality}s has an API key; set OPEN_ROUTER_API_KEY, or {}=none", selector(*.modality).name)]
    NoService {
        /// What nobody makes.
        modality: Modality,
    },
}

impl Unusable {
    /// Whether a miner should not even start: a mistake in the configuration that would only cost samples or money.
    /// A key that is missing may still come, and other modalities work without it.
    #[must_use]
    pub fn refuses_start(&self) -> bool {
        !matches!(self, Self::NoKey { .. } | Self::NoService { .. })
    }
}

/// Why the services cannot be set up at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// A setting that cannot be read.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// `ADIT_ALLOWED_HOSTS`.
    #[error("ADIT_ALLOWED_HOSTS: {0}")]
    AllowList(#[from] AllowListError),
    /// The HTTP client.
    #[error(transparent)]
    Client(#[from] FetchError),
}

/// A service as `/miner_info` shows it (generative reference, section 2).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Info {
    /// The class that upstream has for it.
    pub name: &'static str,
    /// Always: without a key it is not listed.
    pub available: bool,
    /// Kinds of tasks by modality.
    pub supported_tasks: Value,
    /// Runway's models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_to_video_models: Option<Vec<&'static str>>,
}

fn selector(modality: Modality) -> &'static Var {
    match modality {
        Modality::Image => &var::IMAGE_SERVICE,
        Modality::Video => &var::VIDEO_SERVICE,
    }
}

impl Provider {
    /// The variable that has its key; Runway's may be in a second one.
    #[must_use]
    pub fn key_variable(self) -> &'static str {
        self.key().name
    }

    fn key(self) -> &'static Var {
        match self {
            Self::OpenAi => &var::OPENAI_API_KEY,
            Self::OpenRouter => &var::OPENROUTER_API_KEY,
            Self::StabilityAi => &var::STABILITY_API_KEY,
            Self::Runway => &var::RUNWAY_API_KEY,
        }
    }

    fn base_url(self) -> &'static Var {
        match self {
            Self::OpenAi => &var::OPENAI_BASE_URL,
            Self::OpenRouter => &var::OPENROUTER_BASE_URL,
            Self::StabilityAi => &var::STABILITY_BASE_URL,
            Self::Runway => &var::RUNWAY_BASE_URL,
        }
    }

    /// The variables of model and price.
    fn model(self, modality: Modality) -> Option<(&'static Var, &'static Var)> {
        Some(match (self, modality) {
            (Self::OpenAi, Modality::Image) => (&var::OPENAI_IMAGE_MODEL, &var::OPENAI_IMAGE_PRICE),
            (Self::OpenAi, Modality::Video) => (&var::OPENAI_VIDEO_MODEL, &var::OPENAI_VIDEO_PRICE),
            (Self::OpenRouter, Modality::Image) => {
                (&var::OPENROUTER_IMAGE_MODEL, &var::OPENROUTER_IMAGE_PRICE)
            }
            (Self::OpenRouter, Modality::Video) => {
                (&var::OPENROUTER_VIDEO_MODEL, &var::OPENROUTER_VIDEO_PRICE)
            }
            (Self::StabilityAi, Modality::Image) => {
                (&var::STABILITY_IMAGE_MODEL, &var::STABILITY_IMAGE_PRICE)
            }
            (Self::Runway, Modality::Video) => (&var::RUNWAY_VIDEO_MODEL, &var::RUNWAY_VIDEO_PRICE),
            (Self::StabilityAi, Modality::Video) | (Self::Runway, Modality::Image) => return None,
        })
    }
}

impl Services {
    /// What the settings say, judged as of `today`. A modality that cannot be served is no error here but in its
    /// [`Slot`].
    ///
    /// # Errors
    /// [`SetupError`]: a setting that cannot be read.
    pub fn from_environment(environment: &Environment, today: SystemTime) -> Result<Self, SetupError> {
        let mut accounts = Vec::new();
        // Links lead where a provider says: to public hosts, to those that the operator allows, and to the host of
        // an API that the operator names.
        let mut links = AddressGuard::public_only()
            .allowing(environment.text(&var::ALLOWED_HOSTS)?.unwrap_or_default())?;
        for provider in Provider::ALL {
            let Some(key) = key(environment, provider)? else { continue };
            let base_url = base_url(environment, provider)?;
            if let (false, Some(host)) = (is_own_api(provider, &base_url), base_url.host_str()) {
                links = links.allowing(host)?;
            }
            accounts.push((provider, base_url, key));
        }
        let api = Client::with_fresh_connections(AddressGuard::unrestricted())?;
        let media = Client::new(links)?;
        let mut with_key = Vec::new();
        let mut bad_keys = Vec::new();
        for (provider, base_url, key) in accounts {
            let Ok(mut authorization) = HeaderValue::try_from(format!("Bearer {}", key.expose_secret()))
            else {
                bad_keys.push(provider);
                continue;
            };
            authorization.set_sensitive(true);
            with_key.push(Service {
                provider,
                own_api: is_own_api(provider, &base_url),
                base_url: base_url.as_str().trim_end_matches('/').to_owned(),
                key,
                authorization,
                image: model(environment, provider, Modality::Image)?,
                video: model(environment, provider, Modality::Video)?,
                api: api.clone(),
                media: media.clone(),
            });
        }
        let named = |modality| -> Result<Option<String>, SettingError> {
            let text = environment.text(selector(modality))?.map(|text| text.trim().to_lowercase());
            Ok(text.filter(|text| !text.is_empty()))
        };
        let [image, video] = [named(Modality::Image)?, named(Modality::Video)?];
        let automatic = image.is_none() && video.is_none();
        let choose = |modality, name: Option<String>| match name {
            None if automatic => first(&with_key, modality, today),
            None => Slot::Off,
            Some(name) if name == "none" => Slot::Off,
            Some(name) => match chosen(&with_key, &bad_keys, modality, name, today) {
                Ok(provider) => Slot::Ready(provider),
                Err(unusable) => Slot::Unusable(unusable),
            },
        };
        let (image, video) = (choose(Modality::Image, image), choose(Modality::Video, video));
        Ok(Self { with_key, image, video, automatic })
    }

    /// What is chosen for a modality.
    #[must_use]
    pub fn slot(&self, modality: Modality) -> &Slot {
        match modality {
            Modality::Image => &self.image,
            Modality::Video => &self.video,
        }
    }

    /// What makes this, with its model, or why requests for it are refused.
    #[must_use]
    pub fn in_words(&self, modality: Modality) -> String {
        match self.slot(modality) {
            Slot::Off => "none, requests are refused".to_owned(),
            Slot::Unusable(why) => format!("requests are refused: {why}"),
            Slot::Ready(provider) => {
                let model = self.get(*provider).and_then(|service| service.model_name(modality));
                format!("{} ({})", provider.name(), model.unwrap_or_default())
            }
        }
    }

    /// The service that makes this, if one does.
    #[must_use]
    pub fn chosen(&self, modality: Modality) -> Option<&Service> {
        match self.slot(modality) {
            Slot::Ready(provider) => self.get(*provider),
            Slot::Off | Slot::Unusable(_) => None,
        }
    }

    /// A provider's service, chosen or not: for jobs that were started under other settings.
    #[must_use]
    pub fn get(&self, provider: Provider) -> Option<&Service> {
        self.with_key.iter().find(|service| service.provider == provider)
    }

    /// The other services that have a key and could make this as of `today`, in the order of [`Provider::ALL`]: to
    /// go on with where the chosen one failed.
    pub fn others(&self, modality: Modality, today: SystemTime) -> impl Iterator<Item = &Service> {
        let chosen = self.chosen(modality).map(Service::provider);
        self.with_key.iter().filter(move |service| {
            Some(service.provider) != chosen && usable(service, modality, today).is_ok()
        })
    }

    /// The services that are loaded, as `/miner_info` lists them and `/health` counts them: the chosen ones, and
    /// where nothing is configured every one that has a key.
    #[must_use]
    pub fn info(&self) -> Vec<Info> {
        let chosen = [&self.image, &self.video];
        let loaded = self
            .with_key
            .iter()
            .map(Service::provider)
            .filter(|provider| self.automatic || chosen.contains(&&Slot::Ready(*provider)));
        loaded.map(info).collect()
    }
}

fn info(provider: Provider) -> Info {
    let (name, supported_tasks) = match provider {
        Provider::OpenAi => {
            ("OpenAIService", json!({"image": ["image_generation"], "video": ["video_generation"]}))
        }
        Provider::OpenRouter => {
            ("OpenRouterService", json!({"image": ["image_generation"], "video": ["text_to_video"]}))
        }
        Provider::StabilityAi => ("StabilityAIService", json!({"image": ["image_generation"], "video": []})),
        Provider::Runway => ("RunwayService", json!({"image": [], "video": ["text_to_video"]})),
    };
    let text_to_video_models = (provider == Provider::Runway).then(super::runway::models);
    Info { name, available: true, supported_tasks, text_to_video_models }
}

/// Runway's under either name, the first that is not empty.
fn key(environment: &Environment, provider: Provider) -> Result<Option<SecretString>, SettingError> {
    let second = (provider == Provider::Runway).then_some(&var::RUNWAY_API_SECRET);
    for var in [Some(provider.key()), second].into_iter().flatten() {
        let key = environment.secret(var)?.map(|key| SecretString::from(key.expose_secret().trim()));
        if let Some(key) = key.filter(|key| !key.expose_secret().is_empty()) {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

fn base_url(environment: &Environment, provider: Provider) -> Result<Url, SettingError> {
    let var = provider.base_url();
    let url = Url::parse(environment.required(var)?.trim()).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| environment.invalid(var, "a URL such as the default"))
}

fn is_own_api(provider: Provider, base_url: &Url) -> bool {
    let own = provider.base_url().default.and_then(|own| Url::parse(own).ok());
    own.is_some_and(|own| own.origin() == base_url.origin())
}

fn model(
    environment: &Environment,
    provider: Provider,
    modality: Modality,
) -> Result<Option<Model>, SettingError> {
    let Some((name, price)) = provider.model(modality) else { return Ok(None) };
    let price = match environment.text(price)? {
        None => None,
        Some(_) => Some(environment.parsed::<Usd>(price, "an amount in USD such as 0.134")?),
    };
    Ok(Some(Model { name: environment.required(name)?.trim().to_owned(), price }))
}

/// The named service, if it can be used.
fn chosen(
    with_key: &[Service],
    bad_keys: &[Provider],
    modality: Modality,
    name: String,
    today: SystemTime,
) -> Result<Provider, Unusable> {
    let variable = selector(modality).name;
    let Some(provider) = Provider::named(&name) else {
        return Err(Unusable::Unknown { variable, value: name });
    };
    if !provider.makes(modality) {
        return Err(Unusable::Modality { variable, provider, modality, instead: Provider::OpenRouter });
    }
    let key = provider.key_variable();
    if bad_keys.contains(&provider) {
        return Err(Unusable::BadKey { key });
    }
    let service = with_key.iter().find(|service| service.provider == provider);
    usable(service.ok_or(Unusable::NoKey { variable, provider, key })?, modality, today)?;
    Ok(provider)
}

/// Where nothing is configured: the first that can.
fn first(with_key: &[Service], modality: Modality, today: SystemTime) -> Slot {
    let mut reason = None;
    for service in with_key.iter().filter(|service| service.provider.makes(modality)) {
        match usable(service, modality, today) {
            Ok(()) => return Slot::Ready(service.provider),
            Err(unusable) => reason = reason.or(Some(unusable)),
        }
    }
    Slot::Unusable(reason.unwrap_or(Unusable::NoService { modality }))
}

/// Whether a service with a key can make this with the model that the settings name.
fn usable(service: &Service, modality: Modality, today: SystemTime) -> Result<(), Unusable> {
    let Some(model) = service.model(modality) else {
        return Err(Unusable::NoService { modality });
    };
    if let Some(flaw) = service.flaw(modality, &model.name, today) {
        return Err(Unusable::Flawed(flaw));
    }
    let variable = service.provider.model(modality).map_or("", |(name, _)| name.name);
    match service.plan(modality, "a lighthouse", &Map::new()) {
        Ok(_) => Ok(()),
        Err(source) => Err(Unusable::Model { variable, source }),
    }
}
