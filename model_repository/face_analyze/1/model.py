"""Triton's entry to face_analyze; the thinking is in ensemble/."""

from facegate_ensemble.triton.endpoint import Endpoint
from facegate_ensemble.triton.handlers import analyze


class TritonPythonModel:
    def initialize(self, args):
        self.endpoint = Endpoint(args, analyze)

    def execute(self, requests):
        self.endpoint.submit(requests)

    def finalize(self):
        self.endpoint.close()
