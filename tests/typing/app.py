from sightline_edge import Answer, AsyncClient, Client, Options, Outcome, SightlineError


def ask(path: str) -> list[tuple[str, float]]:
    with Client("http://127.0.0.1:8765", api_key="sk_x", options=Options(k=5)) as client:
        try:
            answer: Answer = client.search(path, where={"category": "milk", "colour": ["red"], "available": True})
        except SightlineError as error:
            print(error.code, error.hint)
            return []
        if answer.outcome is Outcome.RETAKE:
            print(answer.reasons[0])
        return [(match.id, match.score) for match in answer.matches]


async def aask(path: str) -> str:
    async with AsyncClient("http://127.0.0.1:8765") as client:
        return (await client.search(path)).outcome.value
