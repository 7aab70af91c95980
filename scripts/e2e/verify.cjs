// Asks the npm package standardwebhooks about deliveries. Standard input is a
// JSON list of {secret, headers, body}; the answer is a list of "" for one that
// it accepts, else its words.
const { Webhook } = require("standardwebhooks");

let input = "";
process.stdin.on("data", (chunk) => (input += chunk));
process.stdin.on("end", () => {
  const answers = JSON.parse(input).map(({ secret, headers, body }) => {
    try {
      const event = new Webhook(secret).verify(body, headers);
      return event && event.type ? "" : "accepted, but it is no event";
    } catch (error) {
      return String(error.message || error);
    }
  });
  process.stdout.write(JSON.stringify(answers));
});
