//! What the platform keeps.

use std::collections::VecDeque;
use std::fmt;

use adit_keys::Hotkey;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Asked, Build, Call, Fault, Model, Predict, Start};

/// Longest slug.
const SLUG: usize = 58;

#[derive(Debug)]
pub(super) struct Account {
    pub(super) username: String,
    pub(super) user_id: String,
    pub(super) key: Option<String>,
    pub(super) hotkey: Option<String>,
    pub(super) balance: f64,
}

impl Account {
    pub(super) fn new(username: &str, key: Option<&str>, hotkey: Option<&Hotkey>) -> Self {
        Self {
            username: username.to_owned(),
            user_id: super::Chutes::user_id(username),
            key: key.map(str::to_owned),
            hotkey: hotkey.map(ToString::to_string),
            balance: 100.0,
        }
    }

    pub(super) fn json(&self) -> Value {
        json!({"username": self.username, "user_id": self.user_id, "logo_id": null, "created_at": CREATED, "logo": null})
    }
}

pub(super) const CREATED: &str = "2025-10-04T19:17:00";

#[derive(Debug)]
pub(super) struct Image {
    pub(super) id: String,
    pub(super) user_id: String,
    pub(super) name: String,
    pub(super) tag: String,
    pub(super) public: bool,
    pub(super) build: Build,
}

impl Image {
    pub(super) fn is_over(&self) -> bool {
        self.build.looks == 0
    }

    pub(super) fn is_built(&self) -> bool {
        self.is_over() && self.build.failure.is_none()
    }

    pub(super) fn status(&self) -> String {
        match &self.build.failure {
            _ if !self.is_over() => "building".to_owned(),
            Some(failure) => format!("error: {failure}"),
            None => "built and pushed".to_owned(),
        }
    }

    pub(super) fn json(&self, owner: &Value) -> Value {
        json!({
            "image_id": self.id, "name": self.name, "readme": "", "tag": self.tag, "public": self.public,
            "status": self.status(), "created_at": CREATED, "build_started_at": CREATED,
            "build_completed_at": self.is_over().then_some(CREATED), "user": owner, "logo_id": null,
            "patch_version": "initial", "logo": null
        })
    }
}

#[derive(Debug)]
pub(super) struct Chute {
    pub(super) id: String,
    pub(super) user_id: String,
    pub(super) name: String,
    pub(super) slug: String,
    pub(super) image_id: String,
    pub(super) code: String,
    pub(super) version: String,
    /// What it was deployed with.
    pub(super) arguments: Value,
    pub(super) instance: Instance,
    pub(super) shared: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Instance {
    pub(super) id: String,
    pub(super) start: Start,
    pub(super) log: Vec<String>,
    pub(super) gone: bool,
}

impl Instance {
    pub(super) fn is_ready(&self) -> bool {
        !self.gone && self.start.looks == Some(0)
    }

    /// Somebody looked, so it is nearer to being ready.
    pub(super) fn look(&mut self) {
        if let Some(looks) = &mut self.start.looks {
            *looks = looks.saturating_sub(1);
        }
    }
}

#[derive(Debug)]
pub(super) struct Secret {
    pub(super) id: String,
    pub(super) user_id: String,
    pub(super) chute_id: String,
    pub(super) key: String,
    pub(super) value: String,
}

impl Secret {
    pub(super) fn json(&self) -> Value {
        json!({"secret_id": self.id, "purpose": self.chute_id, "key": self.key, "created_at": CREATED})
    }
}

/// A model that can be printed.
pub(super) struct ModelOf(pub(super) Model);

impl fmt::Debug for ModelOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Model")
    }
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) accounts: Vec<Account>,
    pub(super) images: Vec<Image>,
    pub(super) chutes: Vec<Chute>,
    pub(super) secrets: Vec<Secret>,
    pub(super) taken_slugs: Vec<String>,
    pub(super) build: Build,
    pub(super) start: Start,
    pub(super) builds_left: u32,
    pub(super) deployments_left: u32,
    pub(super) health: Value,
    pub(super) predictions: VecDeque<Predict>,
    pub(super) model: Option<ModelOf>,
    pub(super) video_frames: usize,
    pub(super) faults: Vec<(Call, Fault, u32)>,
    pub(super) asked: Vec<Asked>,
    /// Counts up to break off streams.
    pub(super) generation: u64,
    instances_made: u32,
}

impl Default for State {
    fn default() -> Self {
        Self {
            accounts: Vec::new(),
            images: Vec::new(),
            chutes: Vec::new(),
            secrets: Vec::new(),
            taken_slugs: Vec::new(),
            build: Build::default(),
            start: Start::default(),
            builds_left: 24,
            deployments_left: 24,
            health: json!({
                "status": "healthy", "model_loaded": "Miner", "memory_gb": 0.25, "cuda": "✅ CUDA is available"
            }),
            predictions: VecDeque::new(),
            model: None,
            video_frames: 750,
            faults: Vec::new(),
            asked: Vec::new(),
            generation: 0,
            instances_made: 0,
        }
    }
}

impl State {
    pub(super) fn fault(&mut self, call: Call) -> Option<Fault> {
        let (_, fault, left) = self.faults.iter_mut().find(|(at, _, left)| *at == call && *left > 0)?;
        *left -= 1;
        Some(fault.clone())
    }

    pub(super) fn owner(&self, user_id: &str) -> Value {
        self.accounts.iter().find(|account| account.user_id == user_id).map(Account::json).unwrap_or_default()
    }

    /// Ids and names are looked up alike, names without regard to case.
    pub(super) fn chute_at(&self, user_id: &str, id_or_name: &str) -> Option<usize> {
        self.chutes.iter().position(|chute| {
            (chute.user_id == user_id || chute.shared.iter().any(|user| user == user_id))
                && (chute.id == id_or_name || chute.name.eq_ignore_ascii_case(id_or_name))
        })
    }

    pub(super) fn image_at(&self, user_id: &str, id_or_name: &str) -> Option<usize> {
        self.images.iter().position(|image| {
            (image.user_id == user_id || image.public)
                && (image.id == id_or_name || format!("{}:{}", image.name, image.tag) == id_or_name)
        })
    }

    pub(super) fn add_image(&mut self, username: &str, name: &str, tag: &str, build: Build) -> String {
        let id = uuid5(&format!("{}/{name}:{tag}", username.to_lowercase()));
        self.images.push(Image {
            id: id.clone(),
            user_id: super::Chutes::user_id(username),
            name: name.to_owned(),
            tag: tag.to_owned(),
            public: true,
            build,
        });
        id
    }

    /// A chute, or a new script of one, which gets a new instance.
    pub(super) fn add_chute(&mut self, username: &str, name: &str, image_id: &str, code: &str) -> String {
        let id = uuid5(&format!("{username}::chute::{name}"));
        self.instances_made += 1;
        let instance = Instance {
            id: uuid5(&format!("instance {} of {id}", self.instances_made)),
            start: self.start.clone(),
            log: self.start.log.clone(),
            gone: false,
        };
        let version = uuid5(&format!("{image_id}:{code}"));
        if let Some(chute) = self.chutes.iter_mut().find(|chute| chute.id == id) {
            (chute.code, chute.version, chute.instance) = (code.to_owned(), version, instance);
            return id;
        }
        let slug = self.slug(username, name);
        self.chutes.push(Chute {
            id: id.clone(),
            user_id: super::Chutes::user_id(username),
            name: name.to_owned(),
            slug,
            image_id: image_id.to_owned(),
            code: code.to_owned(),
            version,
            arguments: Value::Null,
            instance,
            shared: Vec::new(),
        });
        id
    }

    fn slug(&self, username: &str, name: &str) -> String {
        let mut slug = String::new();
        for c in format!("{username}-{name}").to_lowercase().chars() {
            let c = if c.is_ascii_alphanumeric() { c } else { '-' };
            if !(c == '-' && (slug.is_empty() || slug.ends_with('-'))) {
                slug.push(c);
            }
        }
        slug.truncate(SLUG);
        let slug = slug.trim_end_matches('-').to_owned();
        let taken = self.taken_slugs.contains(&slug) || self.chutes.iter().any(|chute| chute.slug == slug);
        // The platform draws five characters; these are as good and the same each time.
        if taken { format!("{slug}-{}", &uuid5(&slug)[..5]) } else { slug }
    }

    pub(super) fn chute_json(&self, at: usize) -> Value {
        let chute = &self.chutes[at];
        let owner = self.owner(&chute.user_id);
        let image = self.images.iter().find(|image| image.id == chute.image_id);
        let ready = chute.instance.is_ready();
        let instances: Vec<Value> = (!chute.instance.gone)
            .then(|| {
                json!({
                    "instance_id": chute.instance.id, "region": "n/a", "active": ready, "verified": ready,
                    "last_verified_at": ready.then_some(CREATED)
                })
            })
            .into_iter()
            .collect();
        let given = |key: &str| chute.arguments.get(key).cloned().unwrap_or_default();
        json!({
            "chute_id": chute.id, "name": chute.name, "tagline": given("tagline"), "readme": given("readme"),
            "public": false, "version": chute.version, "slug": chute.slug, "cords": given("cords"),
            "created_at": CREATED, "updated_at": CREATED, "image": image.map(|image| image.json(&owner)),
            "user": owner, "supported_gpus": ["a40", "a6000"], "node_selector": given("node_selector"),
            "instances": instances, "chutes_version": "0.3.61", "revision": given("revision"),
            "concurrency": given("concurrency"), "max_instances": given("max_instances"),
            "scaling_threshold": given("scaling_threshold"),
            "shutdown_after_seconds": given("shutdown_after_seconds"), "preemptible": true, "hot": ready
        })
    }
}

pub(super) fn uuid5(name: &str) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).to_string()
}
