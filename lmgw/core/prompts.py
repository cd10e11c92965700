"""The texts that a profile puts in: before the client's own system text, and before the classifier's question."""

from __future__ import annotations

from lmgw.config.snapshot import Profile

#: Asked of the classifier where a profile has no ``classifier_prompt``. Examples, because small models follow them
#: better than descriptions. Not yet measured on a model: ``lmgw classify-test`` does that, with the operator's own.
CLASSIFIER_PROMPT = """\
You sort requests by how much work the answer is. Reply with exactly one of these words and nothing else:
instant, instant-think, fast, fast-think, deep, deep-think

hi there => instant
turn off the light in the kitchen => instant
what is the capital of Peru? => instant
thanks, that is all => instant
is 7919 a prime number? => instant-think
which is heavier, 3 lb of feathers or 1 kg of lead? => instant-think
write a polite email that moves my appointment to Friday => fast
summarise this article in three sentences => fast
translate the paragraph below into Spanish => fast
write a shell command that finds files over 100 MB => fast
the train leaves at 9:40 and takes 85 minutes with two stops of 6; when do I arrive? => fast-think
why does this function return None when the list is empty? => fast-think
write a short story about a lighthouse keeper, about two pages => deep
compare these two contracts and list every difference => deep
draft a business plan for a bicycle repair shop => deep
prove that the square root of 2 is irrational => deep-think
design a database schema for a hospital and explain the trade-offs => deep-think
this service deadlocks under load, here are its log and its code: find the cause => deep-think

A conversation is sorted by its last user message, read in the light of the earlier ones. Do not answer the request."""

#: What a ``reply`` profile says that has no ``reply_message``.
NO_BACKEND = "This gateway is running, but no model backend is configured for it yet."

#: What ``on_error = "chat"`` says instead of an error.
FRIENDLY_FAILURE = (
    "Sorry, I cannot answer right now: the language model is not reachable. Please try again in a moment."
)
FRIENDLY_TIMEOUT = "Sorry, that took too long and I had to give up. Please try again in a moment."


def system_text(profile: Profile, class_label: str | None) -> str | None:
    """Return what goes before the client's system text: the class's prompt, a blank line, the profile's own."""
    parts = [profile.class_prompts.get(class_label) if class_label else None, profile.system_prompt]
    return "\n\n".join(part for part in parts if part) or None
