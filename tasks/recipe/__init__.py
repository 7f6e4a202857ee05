"""Reading a recipe. Kinds of other packages are known before any section is built whose fields take them."""

from stsflow.tasks.ground.family import kinds_of_other_packages

kinds_of_other_packages()
