//! A small model of claim, load, then, crash and retry, in all its histories.
//!
//! Two places for processes share one disk and one sink (`world.rs`). A process appends events, syncs and acknowledges, begins the
//! next segment, claims a batch, loads it, settles it together with what follows from it; at any moment it is killed, or
//! the power goes, or another process takes over while it still runs. Every history within the bounds is walked
//! (`explore.rs`), shortest first. In each state nothing acknowledged is gone, no durable frame has changed, no event is at the sink
//! twice, what is settled is there once and has its follow-up; and from each state everything can still be settled.
//!
//! Each rule that the product keeps can be left out (`rules.rs`). Then the model must show a history that goes wrong.

mod rules;
mod world;
mod explore;
mod histories;
