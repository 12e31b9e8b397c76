"""What the simulated patient says: Dutch words and sentence frames, written for this project."""

from __future__ import annotations

import numpy as np

_WORD_LIST = """
fiets bakker molen water schaap lepel venster dokter kast boter straat jongen meisje paard
vogel kamer stoel tafel appel brood kaas melk regen sneeuw wind zomer winter lente herfst
morgen avond nacht week maand jaar vader moeder broer zuster oma opa tante neef vriend buurman
school boek papier potlood letter zin woord vraag antwoord verhaal lied muziek trommel gitaar
viool fluit stem mond neus oog oor hand voet knie schouder rug buik hart hoofd haar tand
jas broek schoen muts trui sok jurk ring horloge bril tas koffer trein bus auto boot vliegtuig
brug weg plein markt winkel kerk toren huis dak muur deur trap kelder zolder keuken badkamer
tuin gras boom tak blad bloem roos tulp kers peer druif citroen banaan aardbei wortel ui
aardappel tomaat sla bonen erwten soep vlees vis kip ei zout peper suiker honing koffie thee
wijn bier glas kopje bord mes vork pan oven vuur rook lamp kaars zon maan ster wolk hemel
zee strand duin golf eiland rivier meer berg dal bos heide zand steen goud zilver ijzer koper
hond kat muis koe varken geit eend gans zwaan uil mus spin mier bij vlinder kikker egel vos
haas hert wolf beer leeuw olifant aap slang schip anker zeil haven visser boer smid slager
kapper schilder leraar rechter koning prins ridder kasteel poort sleutel klok spiegel deken
kussen laken handdoek zeep borstel schaar naald draad knoop hamer zaag spijker ladder emmer
"""
WORDS: tuple[str, ...] = tuple(_WORD_LIST.split())

_WHO = (
    "de bakker",
    "mijn buurman",
    "het meisje",
    "een oude visser",
    "onze leraar",
    "de jonge dokter",
    "haar broer",
    "de kapper",
)
_DOES = (
    "koopt",
    "zoekt",
    "ziet",
    "brengt",
    "vergeet",
    "tekent",
    "bewaart",
    "vindt",
    "verkoopt",
    "beschrijft",
)
_WHERE = (
    "op de markt",
    "achter het huis",
    "bij de oude brug",
    "in de tuin",
    "naast de kerk",
    "aan het strand",
    "voor de winkel",
    "in het bos",
    "langs de rivier",
)
_WHEN = (
    "vanmorgen",
    "elke avond",
    "in de winter",
    "na het eten",
    "vandaag",
    "op zondag",
    "voor het slapen",
    "heel vroeg",
)


def words(count: int, rng: np.random.Generator) -> list[str]:
    """`count` words in random order; the list repeats only after all of it was used."""
    drawn: list[str] = []
    while len(drawn) < count:
        drawn += [WORDS[i] for i in rng.permutation(len(WORDS))]
    return drawn[:count]


def sentences(count: int, rng: np.random.Generator) -> list[str]:
    """`count` different sentences such as `de bakker zoekt vandaag een molen in de tuin`."""
    drawn: dict[str, None] = {}
    while len(drawn) < count:
        drawn[_sentence(rng)] = None
    return list(drawn)


def _sentence(rng: np.random.Generator) -> str:
    def pick(options: tuple[str, ...]) -> str:
        return options[int(rng.integers(len(options)))]

    parts = [pick(_WHO), pick(_DOES)]
    if rng.random() < 0.5:
        parts.append(pick(_WHEN))
    parts.append(f"een {pick(WORDS)}")
    if rng.random() < 0.4:
        parts.append(f"en een {pick(WORDS)}")
    if rng.random() < 0.6:
        parts.append(pick(_WHERE))
    return " ".join(parts)
