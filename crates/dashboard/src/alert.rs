//! Alerts: the rules, what there is to tell, and who is told.
//!
//! [`Rules`] come from a file, [`Facts`] from the journals and what miners answer, and [`judge`] makes [`Alert`]s of them without
//! looking anywhere else. [`Watch`] looks from time to time and posts what is new to a webhook.

mod facts;
mod judge;
mod message;
mod rules;
mod watch;

pub use facts::{Anchor, Disk, Facts};
pub(crate) use judge::span;
pub use judge::{Alert, RULES, judge};
pub use message::{Message, Webhook, WebhookError};
pub use rules::{DEFAULT_RULES, Form, Rules, RulesError};
pub use watch::{Told, Watch};
