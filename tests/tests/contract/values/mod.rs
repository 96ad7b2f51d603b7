//! Values of every type, read from a live server in four ways: COPY text, COPY binary, and the
//! stream in text and in binary. All four must give the same Arrow arrays, and those must give
//! back the text that the server itself prints.

mod exact;
mod identity;
mod server_side;
mod streamed;
