"""What a shopper would say of each variant of the groceries that come in several, and what says nothing about any.

The project's author wrote them, one a variant, before anything was measured with them. No name of several words is said
whole; four of one word are (cantaloupe, Anjou, conference, Kaiser).
"""

from __future__ import annotations

BY_FAMILY = {
    "Apple": {
        "Golden-Delicious": "the yellow ones",
        "Granny-Smith": "the sour green kind",
        "Pink-Lady": "the pink one",
        "Red-Delicious": "deep red and sweet",
        "Royal-Gala": "gala, the crisp juicy ones",
    },
    "Melon": {
        "Cantaloupe": "with orange flesh, a cantaloupe",
        "Galia-Melon": "galia please",
        "Honeydew-Melon": "honeydew, the smooth yellow kind",
        "Watermelon": "water melon with red flesh",
    },
    "Pear": {
        "Anjou": "green Anjou ones",
        "Conference": "the long conference kind",
        "Kaiser": "brown Kaiser ones",
    },
    "Juice": {
        "Bravo-Apple-Juice": "apple, from Bravo",
        "Bravo-Orange-Juice": "orange, from Bravo",
        "God-Morgon-Apple-Juice": "God Morgon with apple",
        "God-Morgon-Orange-Juice": "God Morgon with orange only",
        "God-Morgon-Orange-Red-Grapefruit-Juice": "God Morgon, orange mixed with grapefruit",
        "God-Morgon-Red-Grapefruit-Juice": "God Morgon, red grapefruit only",
        "Tropicana-Apple-Juice": "Tropicana with apple",
        "Tropicana-Golden-Grapefruit": "the grapefruit one of Tropicana",
        "Tropicana-Juice-Smooth": "the smooth Tropicana without pulp",
        "Tropicana-Mandarin-Morning": "Tropicana with mandarin",
    },
    "Milk": {
        "Arla-Ecological-Medium-Fat-Milk": "organic with medium fat, of Arla",
        "Arla-Lactose-Medium-Fat-Milk": "the lactose-free one",
        "Arla-Medium-Fat-Milk": "the ordinary medium fat one of Arla",
        "Arla-Standard-Milk": "standard fat, by Arla",
        "Garant-Ecological-Medium-Fat-Milk": "organic with medium fat, of Garant",
        "Garant-Ecological-Standard-Milk": "organic whole milk from Garant",
    },
    "Sour-Cream": {
        "Arla-Ecological-Sour-Cream": "the organic one",
        "Arla-Sour-Cream": "not the organic one, just Arla",
    },
    "Soy-Milk": {
        "Alpro-Fresh-Soy-Milk": "fresh, from the fridge",
        "Alpro-Shelf-Soy-Milk": "the kind that keeps on the shelf",
    },
    "Soyghurt": {
        "Alpro-Blueberry-Soyghurt": "with blueberries",
        "Alpro-Vanilla-Soyghurt": "with vanilla",
    },
    "Yoghurt": {
        "Arla-Mild-Vanilla-Yoghurt": "mild vanilla, from Arla",
        "Arla-Natural-Mild-Low-Fat-Yoghurt": "plain and low in fat",
        "Arla-Natural-Yoghurt": "plain, nothing added",
        "Valio-Vanilla-Yoghurt": "vanilla by Valio",
        "Yoggi-Strawberry-Yoghurt": "with strawberries",
        "Yoggi-Vanilla-Yoghurt": "Yoggi with vanilla",
    },
    "Pepper": {
        "Green-Bell-Pepper": "this, in green",
        "Orange-Bell-Pepper": "this, in orange",
        "Red-Bell-Pepper": "this, in red",
        "Yellow-Bell-Pepper": "this, in yellow",
    },
    "Potato": {
        "Floury-Potato": "floury ones for mash",
        "Solid-Potato": "solid ones that keep their shape",
        "Sweet-Potato": "sweet ones",
    },
    "Tomato": {
        "Beef-Tomato": "the big ones for burgers",
        "Regular-Tomato": "regular round ones",
        "Vine-Tomato": "on the vine",
    },
}
VARIANTS = {name: text for texts in BY_FAMILY.values() for name, text in texts.items()}
FAMILIES = {name: family for family, texts in BY_FAMILY.items() for name in texts}
IRRELEVANT = (
    "for a birthday party on Saturday",
    "can you deliver it tomorrow morning",
    "the one my neighbour bought",
    "how much is it",
    "is this still on offer",
    "asdf qwertz",
    "\U0001f600\U0001f44d",
    "show me something nice",
)
