"""Triton's entry to face_analyze; the thinking is in ensemble/."""

from ensemble.endpoint import Endpoint
from ensemble.handlers import analyze


class TritonPythonModel:
    def initialize(self, args):
        self.endpoint = Endpoint(args, analyze)

    def execute(self, requests):
        self.endpoint.submit(requests)

    def finalize(self):
        self.endpoint.close()
