// An OpenID provider for the tests: oidc-provider with its development sign-in
// pages, where any name can sign in with any password.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { Provider } from 'oidc-provider';

// oidc-provider needs this from Node 22. Node 20 does not have it.
URL.parse ??= (url, base) => (URL.canParse(url, base) ? new URL(url, base) : null);

const deviceGrant = 'urn:ietf:params:oauth:grant-type:device_code';
const [clientID, json] = process.argv.slice(2);
const options = JSON.parse(json);

// The tests hold the other end. Exit when they do, even by a crash.
process.stdin.on('close', () => process.exit()).resume();

const server = createServer();
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const issuer = `http://127.0.0.1:${server.address().port}${options.issuerPath}`;

const provider = new Provider(issuer, {
  clients: [{
    client_id: clientID,
    client_secret: options.clientSecret || undefined,
    token_endpoint_auth_method: options.clientAuth || 'client_secret_post',
    grant_types: ['authorization_code', 'refresh_token', ...(options.noDeviceGrant ? [] : [deviceGrant])],
    redirect_uris: [`${options.appURL}/callback`],
    post_logout_redirect_uris: [`${options.appURL}/`],
    id_token_encrypted_response_alg: options.encryptsIDTokens ? 'dir' : undefined,
    ...(options.logoutTokens && {
      backchannel_logout_uri: `${options.appURL}/backchannel-logout`,
      backchannel_logout_session_required: options.logoutTokens === 'sub and sid',
    }),
  }],
  clientAuthMethods: options.clientAuth ? [options.clientAuth] : ['client_secret_basic', 'client_secret_post', 'none'],
  clockTolerance: 0,
  // By default the email address and the name are at the userinfo endpoint only.
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
  findAccount: (_, sub) => ({
    accountId: sub,
    claims: () => ({ sub, email: `${sub}@example.com`, email_verified: true, name: sub }),
  }),
  // By default logout tokens are not sent to loopback addresses, where the tests' application is.
  fetch: (url, { dispatcher, ...rest }) => fetch(url, rest),
  cookies: { keys: [crypto.randomUUID()] },
  features: {
    backchannelLogout: { enabled: Boolean(options.logoutTokens) },
    deviceFlow: { enabled: !options.noDeviceGrant },
    encryption: { enabled: Boolean(options.encryptsIDTokens) },
    pushedAuthorizationRequests: { enabled: true, requirePushedAuthorizationRequests: Boolean(options.requiresPush) },
    revocation: { enabled: true },
  },
  rotateRefreshToken: true,
  ttl: { DeviceCode: options.deviceTTL || 600 },
});

const refreshTokens = new Set();
provider.on('refresh_token.saved', (token) => refreshTokens.add(token.jti));
provider.on('refresh_token.destroyed', (token) => refreshTokens.delete(token.jti));

const logoutTokens = [];
provider.on('backchannel.success', () => logoutTokens.push(''));
provider.on('backchannel.error', (_, error) => logoutTokens.push(String(error)));

// Requests of the application itself, with their answers.
const requests = [];
const watched = new Set(['/device/auth', '/request', '/token', '/token/revocation']);

provider.use(async (ctx, next) => {
  if (!watched.has(ctx.path)) return next();
  ctx.req.body = await text(ctx.req);
  const form = new URLSearchParams(ctx.req.body);
  const request = {
    path: ctx.path,
    grant: form.get('grant_type') ?? '',
    auth: clientAuth(ctx.get('authorization'), form),
    at: Date.now(),
  };
  requests.push(request);
  if (request.grant === deviceGrant && tooSoon(form.get('device_code'))) {
    ctx.status = 400;
    ctx.body = { error: 'slow_down' };
  } else {
    await next();
  }
  if (ctx.path === '/device/auth' && ctx.status === 200 && options.interval) {
    ctx.body = { ...ctx.body, interval: options.interval };
  }
  request.status = ctx.status;
  request.error = ctx.body?.error ?? '';
});

function clientAuth(header, form) {
  return [header && 'client_secret_basic', form.has('client_secret') && 'client_secret_post'].filter(Boolean).join(' and ') || 'none';
}

// oidc-provider accepts polls at any pace. RFC 8628, section 3.5 requires one
// interval between polls, and five seconds more after each slow_down.
const paces = new Map();

function tooSoon(code) {
  const pace = paces.get(code) ?? { polls: 0, last: -Infinity, interval: options.interval || 5 };
  paces.set(code, pace);
  const now = performance.now();
  const early = now - pace.last < pace.interval * 1000 || pace.polls < options.slowDowns;
  if (early) pace.interval += 5;
  pace.polls += 1;
  pace.last = now;
  return early;
}

const answer = provider.callback();
server.on('request', (req, res) => {
  if (req.url === '/__test/state') {
    res.end(JSON.stringify({ requests, refreshTokens: refreshTokens.size, logoutTokens }));
    return;
  }
  if (!req.url.startsWith(`${options.issuerPath}/`)) {
    res.writeHead(404).end();
    return;
  }
  // The way Express mounts an application at a path.
  req.originalUrl = req.url;
  req.url = req.url.slice(options.issuerPath.length);
  answer(req, res);
});

console.log(issuer);
