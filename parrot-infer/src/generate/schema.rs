//! Which JSON schemas an answer can be made to follow.

use serde_json::{Value, json};

/// Numbers of a schema are below it, 2^53.
const MAX_NUMBER: f64 = 9_007_199_254_740_992.0;

/// The most patterns of a schema in which several may apply to one text.
const MAX_PATTERNS: usize = 10;

/// The most properties of a schema, all together: 1,500 that may all be missing take seconds.
const MAX_PROPERTIES: usize = 500;

/// What may stand beside a reference without a second thing that the same value has to be.
const SAYS_NOTHING: [&str; 10] = [
    "$ref",
    "$defs",
    "definitions",
    "$schema",
    "$id",
    "$comment",
    "title",
    "description",
    "default",
    "examples",
];

/// Refuses what would take llguidance 1.9 gigabytes or for ever, or what it answers with another number.
pub(super) fn check(schema: &Value) -> Result<(), String> {
    let (mut patterns, mut properties, mut may_meet) = (0, 0, false);
    let mut left = vec![schema];
    while let Some(value) = left.pop() {
        match value {
            // An integer beyond is another number in most programs that read JSON, and here.
            Value::Number(number) if number.as_f64().is_none_or(|number| number.abs() >= MAX_NUMBER) => {
                return Err(format!("the number {number} of the schema should be between -2^53 and 2^53"));
            }
            Value::Object(fields) => {
                let has = |key: &str| fields.contains_key(key);
                let own = ["pattern", "format"]
                    .iter()
                    .filter(|key| fields.get(**key).is_some_and(Value::is_string));
                let own = own.count();
                patterns += own;
                let is_ref = fields.get("$ref").is_some_and(Value::is_string);
                if let Some(Value::String(to)) = fields.get("$ref")
                    && to.contains('~')
                {
                    return Err(format!(
                        "the reference {to} of the schema is not supported: a name in it has / or ~"
                    ));
                }
                may_meet |= has("allOf")
                    || (own > 0 && (has("anyOf") || has("oneOf")))
                    || (is_ref && fields.keys().any(|key| !SAYS_NOTHING.contains(&key.as_str())));
                for key in ["exclusiveMinimum", "exclusiveMaximum"] {
                    let is_bound =
                        fields.get(key).is_some_and(|bound| bound.is_number() || bound.is_boolean());
                    if is_bound && fields.get("type") != Some(&json!("integer")) {
                        return Err(format!("`{key}` of the schema is supported for integers alone"));
                    }
                }
                if fields.get("multipleOf").is_some_and(|of| of.as_f64().is_some_and(|of| of <= 0.0)) {
                    return Err("`multipleOf` of the schema should be above 0".into());
                }
                if let Some(Value::Object(keys)) = fields.get("patternProperties") {
                    (patterns, may_meet) = (patterns + keys.len(), true);
                }
                if let Some(Value::Object(keys)) = fields.get("properties") {
                    properties += keys.len();
                }
                left.extend(fields.values());
            }
            Value::Array(values) => left.extend(values),
            _ => {}
        }
    }
    if properties > MAX_PROPERTIES {
        return Err(format!("the schema has {properties} properties, more than {MAX_PROPERTIES}"));
    }
    // Patterns that a text has to match all of are followed all at once: twice the time for each more.
    if may_meet && patterns > MAX_PATTERNS {
        return Err(format!(
            "the schema has {patterns} patterns and formats that a text may have to match at once, more than {MAX_PATTERNS}"
        ));
    }
    Ok(())
}

/// llguidance's reason as whoever wrote the schema needs it.
pub(super) fn in_words(reason: &str) -> String {
    if reason.contains("coerce_one_of") {
        return "`oneOf` of the schema is supported only where no value fits two of its parts; `anyOf` always is"
            .into();
    }
    // Several lines, of which the last one names the mistake.
    match reason.trim_start().strip_prefix("regex parse error:") {
        Some(lines) => {
            let mistake = lines.lines().find_map(|line| line.trim().strip_prefix("error: "));
            format!("a pattern cannot be followed: {}", mistake.unwrap_or("it is no regular expression"))
        }
        None => reason.to_string(),
    }
}
