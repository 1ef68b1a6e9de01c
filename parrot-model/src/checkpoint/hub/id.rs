//! How a model on the hub is named.

/// A model on the hub, as `owner/name@revision` names it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HubId<'n> {
    /// `owner/name`.
    pub(super) id: &'n str,
    pub(super) owner: &'n str,
    /// A branch, tag or commit; `None` for the newest of the main branch.
    pub(super) revision: Option<&'n str>,
}

/// Splits `owner/name` or `owner/name@revision`; `None` for anything else.
pub(crate) fn parse_id(text: &str) -> Option<HubId<'_>> {
    let is_part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    let (id, revision) = text.split_once('@').map_or((text, None), |(id, revision)| (id, Some(revision)));
    let (owner, name) = id.split_once('/')?;
    let is_revision = |revision: &str| revision.split('/').all(is_part);
    (is_part(owner) && is_part(name) && revision.is_none_or(is_revision)).then_some(HubId {
        id,
        owner,
        revision,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_owner_and_name_are_an_id() {
        let id = parse_id("AIDC-AI/Parrot-7B").unwrap();
        assert_eq!((id.id, id.owner, id.revision), ("AIDC-AI/Parrot-7B", "AIDC-AI", None));
        let id = parse_id("AIDC-AI/Parrot-7B@refs/pr/1").unwrap();
        assert_eq!((id.id, id.revision), ("AIDC-AI/Parrot-7B", Some("refs/pr/1")));
        for path in [
            "parrot",
            "./parrot",
            "../parrot",
            "/models/parrot",
            "a/b/c",
            "a/b/",
            "~/parrot",
            "a/..",
            "a b/c",
            "a/b@",
            "a/b@../c",
            "a/b@c@d",
            "",
        ] {
            assert_eq!(parse_id(path), None, "{path}");
        }
    }
}
