//! OpenAI's interface.

pub(crate) mod chat;
pub(crate) mod list;
mod request;
pub(crate) mod response;
mod translate;
