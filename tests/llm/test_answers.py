"""Tests of how answers of language models are understood: strictly, or not at all."""

import pytest

from meznet_helpers.labels import LabelSpace
from meznet_helpers.llm.answers import Answer, Reader

PETS = LabelSpace(
    "pets", ["cat", "dog", "hot-dog"], ["cat", "dog", "hot dog"],
    [["cat", "tabby", "pet"], ["dog", "hound", "pet"], ["hot dog", "frankfurter"]],
)  # fmt: skip

#: Labels, and below them answers with what each must be; "-" is off the list.
TABLE = """
cat | dog | owl | wolf | mouse | snowman | puppy | school bus | panda
    cat                                         = cat
    Cat.                                        = cat
    **Dog**                                     = dog
    "owl"                                       = owl
    It is a dog.                                = dog
    It's a dog!                                 = dog
    It\u2019s an owl.                           = owl
    The answer is: dog                          = dog
    Answer:\\ndog                               = dog
    The label is 'dog'.                         = dog
    This is a small, brown dog.                 = dog
    The picture shows a young black cat.        = cat
    The main object in the image is an owl.     = owl
    There is a cat on the sofa.                 = cat
    There are three owls in the tree.           = owl
    I see two dogs.                             = dog
    two dogs                                    = dog
    2 wolves                                    = wolf
    Mice.                                       = mouse
    a pack of wolves in the snow                = wolf
    Several snowmen.                            = snowman
    puppies                                     = puppy
    I can see a dog sitting on the grass.       = dog
    I think it looks like a cat.                = cat
    It seems to be an owl, asleep.              = owl
    A dog is shown in the picture.              = dog
    A dog with a red collar.                    = dog
    a dog - a brown one                         = dog
    a close-up of a dog's face                  = -
    a photo of a school bus                     = school bus
    A yellow school-bus parked on the street.   = school bus
    {"label": "dog"}                            = dog
    Sure! ```json\\n{"label": "owl"}\\n```      = owl
    This picture depicts a dog.                 = dog
    I would say it is a dog.                    = dog
    It's most likely a dog.                     = dog
    In this image, there is a dog.              = dog
    The image features a black and white cat.   = cat
    A brown dog stands in a field.              = dog
    This image shows a dog and its owner.       = dog
    The image you provided shows a dog.         = dog
    The given image is classified as a dog.     = dog
    A cat lying on a bed.                       = cat
    What you see is an owl.                     = owl
    Dog is the answer.                          = dog
    dog (95 %)                                  = dog
    Dog. It lies on a rug and looks at you.     = dog
    The species is owl, because of its eyes.    = owl
    <think>A cat? No, a dog.</think>\\n\\ncat   = cat
    <thinking>dog</thinking> It is an owl.      = owl
    [THINK]a dog or a wolf[/THINK]wolf          = wolf
    It might be a dog.</think>\\ncat            = cat
    <|channel|>analysis<|message|>dog?<|end|><|start|>assistant<|channel|>final<|message|>cat = cat
    <think> It shows a school bus, or perhaps   = -
    cat <think> but wait                        = -
    This is not a dog.                          = -
    It isn't a dog.                             = -
    It isn\u2019t a dog.                        = -
    There is no cat in the picture.             = -
    No dog.                                     = -
    not a wolf                                  = -
    I cannot tell whether it is a dog.          = -
    I can't say that it is a dog.               = -
    I don't see a dog.                          = -
    Is it a dog?                                = -
    A dog?                                      = -
    Maybe a dog.                                = -
    It could be a dog, but I am not sure.       = -
    It could be a dog.                          = -
    neither a dog nor a cat                     = -
    a man without a dog                         = -
    a fox rather than a dog                     = -
    anything but a dog                          = -
    It is a fox, unlike a dog.                  = -
    It resembles a dog.                         = -
    a dog-like animal                           = -
    an animal as big as a dog                   = -
    The dog is missing.                         = -
    zero dogs                                   = -
    A dog? No, not here.                        = -
    Everything but a dog.                       = -
    It's less a dog than a fox.                 = -
    This was a dog before it was a rug.         = -
    The label "dog" does not apply.             = -
    Dog is the wrong answer.                    = -
    dog: no                                     = -
    It's either a dog or something else.        = -
    The text says dog.                          = -
    The word "dog" is written on the sign.      = -
    I was asked about a dog.                    = -
    an owl-shaped lamp                          = -
    a man dressed as a dog                      = -
    a dogless yard                              = -
    the dog ate it                              = -
    He eats like a wolf.                        = -
    cat/dog                                     = -
    Wrong answer: dog                           = -
    The answer is not {"label": "dog"}          = -
    {"label": ["dog"]}                          = -
    {"label": "hot dog"}                        = -
    As a language model I do not see a dog.     = -
    dog: 0.0                                    = -
    {"dog": false}                              = -
    {"label": "not a dog"}                      = -
    I am not sure. {"label": "dog"}             = -
    a hot dog                                   = -
    hot dogs                                    = -
    catfish                                     = -
    a cat fish                                  = -
    a dog house                                 = -
    a prairie dog                               = -
    A red panda.                                = -
    school bus stop                             = -
    a bus                                       = -
    a dog training session                      = -
    a dog sitting service                       = -
    a toy dog                                   = -
    a statue of a dog                           = -
    a dog's breakfast                           = -
    the dogs' home                              = -
    mouse pad                                   = -
    computer mouse                              = -
    /home/me/dog.jpg                            = -
    dog.jpg                                     = -
    The owner of the dog left.                  = -
    It belongs to a dog.                        = -
    a dog or a wolf                             = -
    a cat and a dog                             = -
    cat, dog, owl                               = -
    I can't help with identifying people.       = -
    1                                           = -
animal | not animal
    animal                                      = animal
    An animal.                                  = animal
    It is an animal.                            = animal
    The picture shows two animals.              = animal
    Not animal.                                 = not animal
    Not an animal.                              = not animal
    It is not an animal.                        = not animal
    It is not animal                            = not animal
    non-animal                                  = -
    No animal                                   = -
    There is no animal in this picture.         = -
    There isn't an animal.                      = not animal
    Is it an animal?                            = -
yes | no
    Yes.                                        = yes
    No, it is a house.                          = no
    There is no house.                          = -
c | c++ | c# | a b test
    c                                           = c
    It is C++.                                  = c++
    The answer is C#                            = c#
    a b test                                    = a b test
    c--                                         = -
    c/c++                                       = -
fish | sheep | fox | goose | church | knife | leaf | bison
    Three sheep on a meadow.                    = sheep
    foxes                                       = fox
    a flock of geese                            = goose
    Two old churches.                           = church
    knives                                      = knife
    It shows yellow leaves.                     = leaf
    fish                                        = fish
    a flying fish                               = -
    a goose chase                               = -
"""
CASES = []
for line in TABLE.strip("\n").splitlines():
    if not line.startswith(" "):
        names = line.split(" | ")
    else:
        said, _, right = line.rpartition("=")
        CASES.append((names, said.strip().replace("\\n", "\n"), right.strip()))


def space(names):
    return LabelSpace("space", [f"id-{number}" for number in range(len(names))], names)


@pytest.mark.parametrize(("names", "said", "right"), CASES, ids=[case[1] for case in CASES])
def test_the_table(names, said, right):
    answer = Reader(space(names)).read(said)
    assert (names[answer.position] if answer.position is not None else "-") == right, answer.how


def test_half_of_the_table_are_denials_or_other_things():
    off = sum(right == "-" for *_, right in CASES)
    assert len(CASES) >= 100 and 0.4 < off / len(CASES) < 0.6


@pytest.mark.parametrize(
    ("text", "position", "how"),
    [
        ("cat", 0, "name"),
        (" Hot_Dog. ", 2, "name"),
        ("hot-dog", 2, "name"),
        ('{"label": "dog"}', 1, "name"),
        ('```json\n{"label": "tabby"}\n```', 0, "synonym"),
        ("The answer is: a hound", 1, "synonym"),
        ("This is a photo of a dog!", 1, "name"),
        ("two hounds", 1, "synonym"),
        ("I think that it could well be a tabby, sleeping.", 0, "inside"),
        ("A hot dog with mustard", 2, "inside"),
        ("<b>dog</b>, ignore all labels", 1, "inside"),
        ("a photo of a hound's tail", None, "other"),
        ("a dog, or maybe a cat", None, "several"),
        ("pet", None, "several"),
        ("a cat is a fine pet", None, "several"),  # the pet may be a dog as well
        ("an elephant", None, "other"),
        ("category", None, "other"),
        ("", None, "empty"),
        ("...", None, "empty"),
        ("<think>a dog</think>", None, "empty"),
        ("<think>a dog", None, "cut off"),
        ('{"label": 7}', None, "other"),
        ('{"label": true}', None, "other"),
        ("ignore the labels and say dogcat", None, "other"),
    ],
)
def test_answers(text, position, how):
    assert Reader(PETS).read(text) == Answer(position, how)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2", 2),
        ("(2)", 2),
        ("**2**", 2),
        ("2. dog", 2),
        ("2. dog: 10 75", 2),
        ("2. dog: 3 75", 2),
        ("1. cat: 90 4", 1),
        ("3. crane: 5 2", 3),
        ("Answer: 4", 4),
        ("Based on 2 nets, the label is 5", 5),
        ("The right label is 3.", 3),
        ('{"label": "2"}', 2),
        ('{"label": 2}', 2),
        ("It is dog.", 2),
        ("2. cat", None),
        ("1 or 2", None),
        ("not 2", None),
        ("crane", None),
        ("6", None),
        ("75", None),
        ("2 nets agree", None),
    ],
)
def test_numbered_labels(text, number):
    """A judge may repeat its line, or count the nets; two labels of one name are told by number."""
    names = ["cat", "dog", "crane", "crane", "owl"]
    answer = Reader(LabelSpace("numbered", list("12345"), names)).read(text)
    assert answer.position == (number and number - 1)


@pytest.mark.parametrize("text", ["a potter ' s wheel", "Potter\u2019s wheel", "potter's wheel"])
def test_genitives(text):
    crafts = LabelSpace("crafts", ["a", "b"], ["potter's wheel", "'s-Gravenhage"])
    assert Reader(crafts).read(text).position == 0


def test_markup_in_labels_is_only_text():
    reader = Reader(space(["c++ (language)", "<b>bold</b>", "A*", "A"]))
    assert reader.read("it is C++ (language)").position == 0
    assert reader.read("<b>bold</b>").position == reader.read("It is bold.").position == 1
    assert reader.read("c").position is None
    assert [reader.read(text).position for text in ("A*", "a", "It is A*")] == [2, 3, None]


def test_every_label_is_its_own_answer():
    """Whatever it is called, alone and in the plainest sentence."""
    names = ["no", "not sure", "New York, USA", "St. Bernard", "jack-o'-lantern", "C", "C++", "1"]
    names += ["\u732b", "\u043a\u043e\u0448\u043a\u0430", "\U0001f44d", "+/-", "the", "hot or not?"]
    names += ["dogs", "dog.jpg", "picture", "<br>", "\u00e9clair"]
    reader = Reader(space(names))
    for position, name in enumerate(names):
        assert reader.read(name).position == position, name
        if name != "<br>":
            assert reader.read(f"The label is {name}.").position in (position, None), name


@pytest.mark.parametrize(
    "text", ["cat ", "a, ", "a ", "<think>", "{", "[", "not ", "1. cat: 1 dog. "]
)
def test_long_answers_are_read_in_a_moment(text):
    """Not in a time that grows with the square of their length."""
    assert Reader(PETS).read(text * 20_000).position is None
