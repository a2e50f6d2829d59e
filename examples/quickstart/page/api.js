// The documented HTTP API through fetch: one function, one kind of error.

export const base = new URL('v1/', document.baseURI);

// ApiError is an answer that is not a success, or no answer at all: then status is 0 and code is 'network'.
export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }

  // Whether the same request may succeed later.
  get temporary() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

const listeners = new Set();

// onExchange calls listener after each request, with { method, path, status, code, milliseconds }: nothing secret. The path
// is the one from the root.
export function onExchange(listener) {
  listeners.add(listener);
}

// call sends a request, with body as JSON and accessToken as bearer if they are given, and returns what the answer's JSON
// says. Paths are those of the documentation without the leading slash; what begins with ../ is the service's own. The
// browser keeps what cookies the answer sets only with cookies.
export async function call(method, path, { body, accessToken, cookies = false } = {}) {
  const headers = { Accept: 'application/json' };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  if (accessToken) headers.Authorization = `Bearer ${accessToken}`;

  const url = new URL(path, base);
  const started = performance.now();
  const tell = (status, code) => {
    const milliseconds = Math.round(performance.now() - started);
    for (const listener of listeners) listener({ method, path: url.pathname, status, code, milliseconds });
  };

  let response;
  let answer;
  try {
    response = await fetch(url, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: 'no-store',
      credentials: cookies ? 'same-origin' : 'omit',
      redirect: 'error',
    });
    answer = await response.json();
  } catch (cause) {
    tell(response?.status ?? 0, 'network');
    throw new ApiError(0, 'network', String(cause));
  }
  tell(response.status, response.ok ? undefined : answer.error);
  if (!response.ok) throw new ApiError(response.status, answer.error, answer.message);
  return answer;
}

// because names the reason of a refusal where the caller knows it: the API has one code for many reasons.
export async function because(code, answer, refusal = 'invalid-request') {
  try {
    return await answer;
  } catch (error) {
    if (error.code !== refusal) throw error;
    throw new ApiError(error.status, code, error.message);
  }
}
