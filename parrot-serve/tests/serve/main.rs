//! The server over real sockets, with a tiny model behind it.

mod bad_input;
mod chat;
mod client;
mod clients;
mod connections;
mod interfaces;
mod page;
mod server;
