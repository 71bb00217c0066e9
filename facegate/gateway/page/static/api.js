// The gateway's REST interface: a call, or a Problem that says why not.
import * as key from "./key.js";

export const MOST_BYTES = 10 * 1024 * 1024; // the server's limit for a picture

/** Why there is no answer. `code` is one of the gateway's, or NO_ANSWER or NO_MEANING. */
export class Problem extends Error {
  constructor(code, message, { fields = [], requestId = "", retryAfter = null } = {}) {
    super(message);
    Object.assign(this, { code, fields, requestId, retryAfter });
  }
}

/** Whatever was thrown, as a Problem. A TypeError is of an answer that lacks what it has to have. */
export function problemOf(error) {
  if (error instanceof Problem) return error;
  const odd = error instanceof TypeError;
  return new Problem("PAGE", odd ? "The gateway's answer is not one that this page understands." : error.message);
}

/**
 * POST `fields`, as a form where there are files among them, or, without fields, GET.
 * A gateway that wants a key, or another one, is asked again with the one that the user then gives.
 */
export async function call(path, fields, signal) {
  for (;;) {
    const used = key.current();
    const response = await send(path, fields, used, signal);
    if (response.status === 401) {
      const another = used !== key.current();
      const text = used ? "The gateway does not know this key." : "This gateway wants an API key.";
      if (another || await key.ask(text)) {
        signal?.throwIfAborted();
        continue;
      }
    }
    const answer = await read(response);
    signal?.throwIfAborted();
    return answer;
  }
}

async function send(path, fields, used, signal) {
  const headers = { Accept: "application/json" };
  if (used) headers.Authorization = `Bearer ${used}`;
  const options = { headers, signal, redirect: "error", cache: "no-store" };
  if (fields) {
    options.method = "POST";
    const pictures = Object.values(fields).some((value) => value instanceof Blob);
    if (!pictures) headers["Content-Type"] = "application/json";
    options.body = pictures ? form(fields) : JSON.stringify(fields);
  }
  try {
    return await fetch(path, options);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem("NO_ANSWER", "The gateway does not answer.");
  }
}

function form(fields) {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    if (value instanceof Blob) data.append(name, value, "picture");
    else data.append(name, typeof value === "string" ? value : JSON.stringify(value));
  }
  return data;
}

async function read(response) {
  if (response.status === 204) return null;
  let body = null;
  try {
    body = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
  }
  if (response.ok && body !== null) return body;
  const { code = "NO_MEANING", message = `The answer has status ${response.status} and no reason.`, fields, request_id: id } =
    body?.error ?? {};
  const retryAfter = Number(response.headers.get("Retry-After")) || null;
  throw new Problem(code, message, { fields, requestId: id ?? response.headers.get("X-Request-Id") ?? "", retryAfter });
}
