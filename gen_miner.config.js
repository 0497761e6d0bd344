// The generative miner of subnet 34 under PM2:
//
//     pm2 start gen_miner.config.js
//
// Settings come from .env.gen_miner in this directory, which the miner reads itself. `gascli generator start` does
// the same without PM2: use one of them, not both.

module.exports = {
  apps: [
    {
      name: 'bitmind-generative-miner',
      script: 'gascli',
      args: 'generator serve',
      interpreter: 'none',
      cwd: __dirname,
      autorestart: true,
      max_restarts: 10,
      min_uptime: '10s',
      restart_delay: 4000,
      // Paid calls and answers under way are waited for.
      kill_timeout: 150000,
      // Its lines have a time of their own.
      time: false,
    },
  ],
};
