// OpenFeature's own web provider against a real server, steered by lines on standard input:
// "get UNIT FLAG" evaluates for a user, "wait FLAG VALUE" until a poll has changed a flag,
// "asked" tells of every request what If-None-Match it sent and how it was answered.
import { createInterface } from "node:readline";
import { OpenFeature } from "@openfeature/web-sdk";
import { OFREPWebProvider } from "@openfeature/ofrep-web-provider";

const [baseUrl, token] = process.argv.slice(2);
const asked = [];

async function watched(request, options) {
  const answer = await fetch(request, options);
  const body = answer.status === 304 ? await answer.clone().text() : "";
  asked.push({
    held: request.headers.get("if-none-match"),
    status: answer.status,
    etag: answer.headers.get("etag"),
    body,
  });
  return answer;
}

const provider = new OFREPWebProvider({
  baseUrl,
  headers: [["Authorization", `Bearer ${token}`]],
  fetchImplementation: watched,
  pollInterval: 100,
  cacheMode: "disabled",
});
await OpenFeature.setContext({ targetingKey: "user0" });
await OpenFeature.setProviderAndWait(provider);
const client = OpenFeature.getClient();

async function changed(flag, value) {
  while (client.getStringValue(flag, "") !== value) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function done(words) {
  const [what, ...said] = words;
  if (what === "get") {
    await OpenFeature.setContext({ targetingKey: said[0] });
    return client.getStringDetails(said[1], "");
  }
  if (what === "wait") {
    await changed(...said);
    return client.getStringDetails(said[0], "");
  }
  return asked;
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await done(line.split(" "))));
}
await OpenFeature.close();
