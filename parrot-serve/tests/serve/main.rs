//! The server over real sockets, with a tiny model behind it.

mod bad_input;
mod chat;
mod client;
mod clients;
mod connections;
mod formats;
mod interfaces;
mod page;
mod server;
