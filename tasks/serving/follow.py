"""An alias that moves while its model is served: the new version is loaded beside the old one, tried, then served."""

from __future__ import annotations

import logging
import threading
import time

from stsflow.tasks.ground.errors import ModelError
from stsflow.tasks.serving.address import Alias
from stsflow.tasks.serving.model import ServedModel
from stsflow.tasks.serving.service import Service
from stsflow.tasks.tracking.refusals import in_short

logger = logging.getLogger(__name__)


class Follower(threading.Thread):
    """Asks MLflow every `seconds` where the alias points. Whatever fails, the model that is served stays."""

    def __init__(self, alias: Alias, service: Service, device: str, seconds: float) -> None:
        super().__init__(name="follower", daemon=True)
        self.alias, self.service, self.device, self.seconds = alias, service, device, seconds
        self._ended = threading.Event()
        self._no_good: str | None = None
        """Version that cannot be served, which is not tried again."""
        self._said = ""

    def run(self) -> None:
        """Until `end`."""
        while not self._ended.wait(self.seconds):
            try:
                self._look()
            except Exception as error:  # of MLflow, its transport, a model: none may end the serving of the old one
                self._failed(f"{self.alias.name}@{self.alias.alias}: {in_short(error)}")

    def end(self) -> None:
        """Look no more; a version that is being loaded is left to itself."""
        self._ended.set()

    def _look(self) -> None:
        version = self.alias.version()
        served = self.service.model.located
        if version is None:
            self._failed(f"{self.alias.name} has no alias {self.alias.alias!r} any more; {served.label} stays")
            return
        self.service.metrics.followed.set(time.time())
        if version in (served.version, self._no_good):
            return
        logger.info("%s@%s points to version %s now: loading it", self.alias.name, self.alias.alias, version)
        try:
            model = ServedModel.load(self.alias.locate(version), self.device)
        except ModelError as error:
            self._no_good = version
            self._failed(f"version {version} cannot be served, {served.label} stays: {error.message}")
            return
        self._no_good, self._said = None, ""
        self.service.serve(model)
        logger.info("%s is served; requests that came before it end on %s", model.located.label, served.label)

    def _failed(self, sentence: str) -> None:
        """Count it each time and say it once."""
        self.service.metrics.not_followed.inc()
        if sentence != self._said:
            logger.warning("%s", sentence)
            self._said = sentence
