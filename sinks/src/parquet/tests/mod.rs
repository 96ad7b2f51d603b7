//! Claims about the whole destination, on handmade rows.

mod arrange;
mod bounds;
mod documents;
mod interrupted;
mod large;
mod layout;
mod object_store;
mod standing;

use arrange::*;
