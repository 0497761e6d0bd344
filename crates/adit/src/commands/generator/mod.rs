//! `gascli generator …`.

pub(crate) mod deliveries;
pub(crate) mod info;
pub(crate) mod rehearse;
pub(crate) mod serve;
pub(crate) mod trust_anchors;
pub(crate) mod verify_c2pa;
pub(crate) mod work;

/// Text that somebody else chose, on one line and without what a terminal would act on.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
