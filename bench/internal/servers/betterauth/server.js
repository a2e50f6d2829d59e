// better-auth behind HTTP, as a program to be measured.
//
// One process of Node, as its documentation starts one, with e-mail and password, and its built-in adapter on a pool of
// node-postgres. Its rate limit, its log and its telemetry are off; all else is as it is by default. For how it is told what
// to do, see package server of this module.

import { createServer } from "node:http";
import { createInterface } from "node:readline";

import { Algorithm, hash, verify } from "@node-rs/argon2";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import { toNodeHandler } from "better-auth/node";
import pg from "pg";

// The cost at which all products are compared.
const argon2id = { algorithm: Algorithm.Argon2id, memoryCost: 19 * 1024, timeCost: 2, parallelism: 1 };

// What else is different, by Settings.Variant.
const variants = {
  "": {},
  // The session is in a signed cookie besides, and looked up when that is five minutes old.
  "cookie cache": { cookieCache: { enabled: true } },
  // Each use extends the session; by default the first one of a day does.
  "always extended": { updateAge: 0 },
};

const lines = createInterface({ input: process.stdin });
lines.once("line", (line) => {
  start(JSON.parse(line)).catch((err) => {
    console.error(err);
    process.exit(1);
  });
});
lines.once("close", () => process.exit(0));

async function start(settings) {
  const server = createServer();
  await new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = `127.0.0.1:${server.address().port}`;
  const options = {
    baseURL: `http://${address}`,
    secret: settings.secret,
    database: new pg.Pool({
      connectionString: settings.postgres,
      options: `-c search_path=${settings.schema}`,
      max: settings.pool,
    }),
    emailAndPassword: { enabled: true },
    session: variants[settings.variant],
    rateLimit: { enabled: false },
    logger: { disabled: true },
    telemetry: { enabled: false },
  };
  if (settings.hash === "equal") {
    options.emailAndPassword.password = {
      hash: (password) => hash(password, argon2id),
      verify: ({ hash, password }) => verify(hash, password),
    };
  }
  const { runMigrations } = await getMigrations(options);
  await runMigrations();
  server.on("request", toNodeHandler(betterAuth(options)));
  console.log(`listening ${address}`);
}
