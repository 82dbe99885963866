"""Random requests of all kinds: every one gets an answer that is valid in its shape, and none a 5xx."""

import asyncio
import random

from tests.support import hostile
from tests.support.serving import serving

REQUESTS = 250


def test_every_answer_is_valid_and_none_is_a_5xx(engine):
    rng = random.Random(1)
    sent = [(rng.choice(list(hostile.FORMS)), hostile.request(rng)) for _ in range(REQUESTS)]

    async def main():
        async with serving(engine) as here:
            return [await here.client.post(path, content=data) for path, data in sent]

    seen = set()
    for (path, _), response in zip(sent, asyncio.run(main()), strict=True):
        seen.add(response.status_code)
        hostile.check(path, response.status_code, response.content)
    assert {200, 400, 404} <= seen
