//! Docker Engine and registries: build, push, inspect, run; Docker Hub's web API.

pub mod hub;
