//! The operator's page.
