"""Asks a server through the official package: URL KEY DATA_URL."""

import sys

import openai

url, key, image = sys.argv[1:]
client = openai.OpenAI(base_url=url, api_key=key, max_retries=0)

assert [model.id for model in client.models.list()] == ["parrot", "org/other"]
assert client.models.retrieve("parrot").id == "parrot"

question = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": image}}]
request = {"model": "parrot", "messages": [{"role": "user", "content": question}], "max_tokens": 8}

whole = client.chat.completions.create(**request, logprobs=True, top_logprobs=2)
text = whole.choices[0].message.content
assert len(whole.choices[0].logprobs.content) == whole.usage.completion_tokens, whole
assert len(whole.model_extra["parrot"][0]["routing"][0]) == 6, whole

chunks = list(client.chat.completions.create(**request, stream=True, stream_options={"include_usage": True}))
assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == text, chunks
assert chunks[-1].usage.total_tokens == whole.usage.total_tokens, chunks[-1]

# An answer that is sent back as the package dumps it.
request["messages"] += [whole.choices[0].message.model_dump(), {"role": "user", "content": "?"}]
client.chat.completions.create(**request, n=2, temperature=1.0, seed=1, stop=["\n"], frequency_penalty=0.5)

stream = client.chat.completions.create(**request, stream=True)
next(iter(stream))
stream.close()

# An answer that has to have a form.
schema = {"type": "object", "required": ["a"], "additionalProperties": False, "properties": {"a": {"enum": ["b", "c"]}}}
form = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": schema}}
formed = client.chat.completions.create(**(request | {"response_format": form, "max_tokens": 40}))
assert formed.choices[0].message.content in ('{"a":"b"}', '{"a":"c"}'), formed

for error, extra in [
    (openai.BadRequestError, {"modalities": ["text", "audio"]}),
    (openai.BadRequestError, {"temperature": 5}),
    (openai.NotFoundError, {"model": "none"}),
]:
    try:
        client.chat.completions.create(**(request | extra))
    except error as raised:
        assert raised.message, raised
    else:
        raise AssertionError(f"{extra} was not refused")

try:
    openai.OpenAI(base_url=url, api_key="wrong", max_retries=0).models.list()
except openai.AuthenticationError:
    pass
else:
    raise AssertionError("a wrong key was not refused")
