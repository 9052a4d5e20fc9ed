// A real Matrix client: matrix-js-sdk, the library of Element Web, controlled by the tests.
//
//     node client.mjs FOLDER-OF-node_modules BASE-URL
//
// Each input line is a command: {"identifier": {...}, "password": "...", "change": {...}}. The client logs in, reports its id,
// name and addresses, and changes the password if asked to. Each answer is a line "answer: {...}".
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [folder, baseUrl] = process.argv.slice(2);
const entry = createRequire(`${folder}/none.js`).resolve("matrix-js-sdk");
const sdk = await import(pathToFileURL(entry).href);
const quiet = { getChild: () => quiet, trace() {}, debug() {}, info() {}, warn() {}, error() {} };

// The library's error as an application sees it.
async function outcome(work) {
    try {
        return { ok: await work };
    } catch (error) {
        return { status: error.httpStatus, errcode: error.errcode, error: error.data?.error };
    }
}

// Like Element's dialog: first sends the request, then answers with the password in the session.
function interactively(client, { old_password, new_password }) {
    const identifier = { type: "m.id.user", user: client.getUserId() };
    const dialog = new sdk.InteractiveAuth({
        matrixClient: client,
        inputs: {},
        doRequest: (auth) => client.setPassword(auth, new_password, false),
        requestEmailToken: () => Promise.reject(new Error("no mail")),
        stateUpdated: (stage) => dialog.submitAuthDict({ type: stage, identifier, password: old_password }),
    });
    return dialog.attemptAuth();
}

function setPassword(client, change) {
    if (change.interactive) {
        return interactively(client, change);
    }
    const auth = { type: "m.login.password", identifier: { type: "m.id.user", user: client.getUserId() }, password: change.old_password };
    return client.setPassword(auth, change.new_password, change.logout_devices ?? false);
}

async function carryOut({ identifier, password, change }) {
    const visitor = sdk.createClient({ baseUrl, logger: quiet });
    const login = await outcome(visitor.loginRequest({ type: "m.login.password", identifier, password }));
    if (!login.ok) {
        return { login };
    }
    const { access_token: accessToken, user_id: userId } = login.ok;
    const client = sdk.createClient({ baseUrl, accessToken, userId, logger: quiet });
    const answer = { login, profile: await client.getProfileInfo(userId), threepids: (await client.getThreePids()).threepids };
    if (change) {
        answer.change = await outcome(setPassword(client, change));
        answer.after = await outcome(client.whoami());
    }
    return answer;
}

for await (const line of createInterface({ input: process.stdin })) {
    console.log("answer: " + JSON.stringify(await carryOut(JSON.parse(line))));
}
process.exit(0);
