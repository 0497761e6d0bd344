//! The ids that Chutes gives (Turbo Vision reference, section 2). They follow from names, so what belongs to a name is
//! found without a list.

use uuid::Uuid;

/// The id of a user's chute.
#[must_use]
pub fn chute(username: &str, name: &str) -> String {
    uuid5(&format!("{username}::chute::{name}"))
}

/// The id of a user's image.
#[must_use]
pub fn image(username: &str, name: &str, tag: &str) -> String {
    uuid5(&format!("{username}/{name}:{tag}").to_lowercase())
}

/// The id of a secret of a chute.
#[must_use]
pub fn secret(user_id: &str, chute_id: &str, key: &str) -> String {
    uuid5(&format!("{user_id}:{chute_id}:{key}"))
}

/// The version that a chute has with this image and this text of its script.
#[must_use]
pub fn version(image_id: &str, code: &str) -> String {
    uuid5(&format!("{image_id}:{code}"))
}

fn uuid5(name: &str) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    /// Python's `uuid.uuid5(uuid.NAMESPACE_OID, …)` of the same texts.
    #[test]
    fn ids_are_those_of_the_platform() {
        assert_eq!(super::chute("alice", "turbovision-alice-otter"), CHUTE);
        assert_eq!(super::image("Alice", "turbovision-alice-otter", "latest"), IMAGE);
        assert_eq!(super::secret("u-1", CHUTE, "HF_TOKEN"), SECRET);
        assert_eq!(super::version(IMAGE, "print('é')\n"), VERSION);
    }

    const CHUTE: &str = "c6f84c81-bec8-5e85-a263-99de1678aa69";
    const IMAGE: &str = "c89da8c9-759a-5148-9681-c8e7bef7cdb5";
    const SECRET: &str = "e7076d41-74d2-5bef-ae6a-fc211fcd0fa4";
    const VERSION: &str = "86411f19-7879-5629-a290-be6aabfac3e1";
}
