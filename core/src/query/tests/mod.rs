//! Queries over both stores: against a plain model, and that they read only what matters.

pub(crate) mod house;
mod model;
mod one;
mod reach;
