//! Claims about the whole destination, on handmade rows.

mod arrange;
mod bounds;
mod documents;
mod interrupted;
mod layout;
mod standing;

use arrange::*;
